import { expect, test } from 'vitest';
import { checkGreeting, findGreeting } from './greetings.js';

const line =
  'mvm-guest ready tenant=acme pool=workers instance=i-00000001 address=10.240.3.3/24 gateway=10.240.3.1 gateway_ping=ok boot_id=1';

test('the last greeting on a console counts', () => {
  expect(findGreeting('booting\r\n')).toBeNull();
  expect(findGreeting(`booting\r\n${line}`)).toBeNull();
  expect(findGreeting(`booting\r\n${line}\r\ncounter 1\r\n${line}2\r\n`)).toBe(`${line}2`);
});

test('the ready line of another guest, or a part of one, is refused', () => {
  expect(() => checkGreeting('acme/workers/i-00000001', line)).not.toThrow();
  expect(() => checkGreeting('acme/workers/i-00000002', line)).toThrow(
    /says that it is acme\/workers\/i-00000001/,
  );
  expect(() => checkGreeting('acme/workers/i-00000001', line.replace('ping=ok', 'ping=failed'))).toThrow(
    /gateway/,
  );
});
