import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createCommandRunner } from '../../src/command/command-runner.js';
import { createPreforkPool, type PreforkPool, REFILL_DELAY_MS } from '../../src/execute/prefork-pool.js';

const LOOK = 'ip -j -d -force -batch -';
const SPARES = ['nft -f -', 'ip -batch -', 'bridge -batch -', LOOK].toSorted();
const BATCH = ['-batch', '-'];
const SHOW = 'link show dev lo\n';

let runner: PreforkPool;

/** Pid → command of the children of a process. */
function childrenOf(pid: number): Map<number, string> {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  const commands = pids.map((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').trim());
  return new Map(
    pids.map((child, i) => [Number(child), commands[i]?.split('\0').filter(Boolean).join(' ') ?? '']),
  );
}

const spares = () => [...childrenOf(process.pid)].filter(([, command]) => SPARES.includes(command));
const commands = () =>
  spares()
    .map(([, command]) => command)
    .toSorted();
const pidOf = (command: string) => spares().find(([, other]) => other === command)?.[0];

beforeEach(async () => {
  runner = createPreforkPool(createCommandRunner());
  runner.refill();
  await vi.waitFor(() => expect(commands()).toEqual(SPARES));
});

afterEach(() => runner.close());

it('gives a script to the program that waits, and starts another one soon', async () => {
  const before = pidOf('ip -batch -');
  const result = await runner.run('ip', BATCH, SHOW);
  expect(result).toMatchObject({ exitCode: 0, stderr: '', failure: null });
  expect(result.stdout).toContain('lo:');
  expect(pidOf('ip -batch -')).toBeUndefined();
  await vi.waitFor(() => expect(commands()).toEqual(SPARES));
  expect(pidOf('ip -batch -')).not.toBe(before);
});

it('starts a program as ever when none waits, and when the one that waited has ended', async () => {
  await runner.run('ip', BATCH, SHOW);
  expect(await runner.run('ip', BATCH, SHOW)).toMatchObject({ exitCode: 0, failure: null });
  await vi.waitFor(() => expect(commands()).toEqual(SPARES));
  const killed = spares().map(([pid]) => pid);
  for (const pid of killed) process.kill(pid, 'SIGKILL');
  // Until this process has taken note of their end: one that has just ended still is its child.
  await vi.waitFor(() => {
    const children = childrenOf(process.pid);
    expect(killed.filter((pid) => children.has(pid))).toEqual([]);
  });
  expect(await runner.run('ip', BATCH, SHOW)).toMatchObject({ exitCode: 0, failure: null });
  const prepared = runner.prepare?.('ip', ['-j', '-d', '-force', '-batch', '-']);
  expect(JSON.parse((await prepared?.run(SHOW))?.stdout ?? '')).toMatchObject([{ ifname: 'lo' }]);
});

it('tells of a failure as the program itself would', async () => {
  const result = await runner.run('ip', BATCH, 'link show dev no-such-link\n');
  expect(result.exitCode).toBe(1);
  expect(result.stderr).toContain('Command failed -:1');
});

it('lets them all end when it is closed, and keeps no more', async () => {
  runner.close();
  await vi.waitFor(() => expect(commands()).toEqual([]));
  expect(await runner.run('ip', BATCH, SHOW)).toMatchObject({ exitCode: 0, failure: null });
  await delay(REFILL_DELAY_MS * 5);
  expect(commands()).toEqual([]);
});
