import { expect, it } from 'vitest';
import { guestExitOf, guestExitText } from './guest-exit.js';

const READY = 'mvm-guest starting\r\nmvm-guest ready tenant=acme\r\n';

it.each([
  ['a code', 'mvm-guest exited code=3', { reason: 'exited', exit_code: 3, signal: null }],
  ['a signal', 'mvm-guest exited signal=15 code=143', { reason: 'signaled', exit_code: 143, signal: 15 }],
  [
    'too little memory',
    'mvm-guest exited signal=9 code=137 oom=1',
    { reason: 'oom_killed', exit_code: 137, signal: 9 },
  ],
  [
    'its health check',
    'mvm-guest exited code=0 unhealthy=1',
    { reason: 'unhealthy', exit_code: 0, signal: null },
  ],
  [
    'a panic, whose trace follows',
    `[ 1.0] Kernel panic - not syncing: Attempted to kill init!\r\n${'[ 1.0]  ? asm\r\n'.repeat(200)}`,
    { reason: 'panicked', exit_code: null, signal: null },
  ],
  [
    'a line that output without an end precedes',
    'bye mvm-guest exited code=0',
    expect.objectContaining({ exit_code: 0 }),
  ],
])('reads how a guest ended: by %s', (_what, end, expected) => {
  expect(guestExitOf(`${READY}some output\r\n${end}\r\n`)).toEqual(expected);
});

it.each([
  ['a boot that has not ended', `mvm-guest exited code=3\r\n${READY}output`],
  ['a boot that has not come far', 'mvm-guest exited code=3\r\nmvm-guest starting\r\n'],
  ['another image', 'Welcome\r\nlogin: '],
  ['nothing', ''],
  ['a code that is none', 'mvm-guest exited code=999'],
  ['a signal that is none', 'mvm-guest exited signal=99 code=227'],
])('says nothing of %s', (_what, console) => {
  expect(guestExitOf(console)).toBeUndefined();
});

it('says it in words', () => {
  expect(guestExitText({ reason: 'signaled', exit_code: 143, signal: 15 })).toBe(
    'the main process was ended by SIGTERM',
  );
  expect(guestExitText({ reason: 'signaled', exit_code: 165, signal: 37 })).toBe(
    'the main process was ended by signal 37',
  );
  expect(guestExitText({ reason: 'exited', exit_code: 3, signal: null })).toBe(
    'the main process exited with code 3',
  );
});
