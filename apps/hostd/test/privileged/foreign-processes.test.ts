import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, test } from 'vitest';

let host: Host;
const children: ChildProcess[] = [];

beforeEach(async () => {
  host = await createHost();
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await host.dispose();
});

/** A process of a local user that has a VMM's name and path in its arguments. */
function impostor(vmId: string): ChildProcess {
  const path = join(host.runDir, 'vm', vmId, 'x');
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', path], {
    argv0: 'qemu-system-x86_64',
    uid: 65_534,
    gid: 65_534,
    stdio: 'ignore',
    cwd: '/',
  });
  children.push(child);
  return child;
}

test('finding 3: a local user’s process that is named like a VMM is neither killed nor in the way', async () => {
  const first = impostor('tn1i3');
  let restarts = 0;
  // As the attack has it: a new one for each that is killed.
  const again = (child: ChildProcess): void => {
    child.once('exit', () => {
      if (children.length === 0) return;
      restarts += 1;
      again(impostor('tn1i3'));
    });
  };
  again(first);
  const hostd = await host.start();
  expect(await host.v1('"Ping"')).toBe('Pong');
  await hostd.kill();
  await host.start();
  expect(await host.v1('"Ping"')).toBe('Pong');
  expect(restarts).toBe(0);
  expect(first.exitCode).toBeNull();
  expect(first.signalCode).toBeNull();
});
