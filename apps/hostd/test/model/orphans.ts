import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { tapName } from '@mvm/protocol/names';
import { execa } from 'execa';
import { expect } from 'vitest';
import { FAKE_VMM_NAME } from '../fake-vmm/driver.js';
import type { ModelHost } from './host.js';

/** What of a VM that no record knows may be left on a host. */
export const ORPHANS = ['process', 'cgroup', 'sockets', 'tap', 'element'] as const;
export type Orphan = (typeof ORPHANS)[number];

/** A VM of ours by its name, of an address that no model's instance ever gets. */
const NOBODY = tapName(5, 77);
const NOT_OURS = 'someone';
const LIMITS = { memoryMaxBytes: 64 * 1_048_576, cpuMaxPercent: 100, pidsMax: 16 };

/** A process that looks like a VMM with its sockets there. It ends when no process holds its input any more. */
async function spawnVmm(socketDir: string): Promise<ChildProcess> {
  const child = spawn('/bin/sh', ['-c', 'read line', '--control', join(socketDir, 'control.sock')], {
    argv0: FAKE_VMM_NAME,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.stdin?.on('error', () => {});
  await once(child, 'spawn');
  return child;
}

/** Leaves these parts of an unknown VM; the model's look at the host shows what is gone of them after hostd's start. */
export async function plantOrphan(parts: readonly Orphan[], host: ModelHost): Promise<void> {
  const socketDir = host.layout.vmSocketDir(NOBODY);
  const child = parts.includes('process') ? await spawnVmm(socketDir) : null;
  if (parts.includes('cgroup')) {
    await host.cgroups.create(NOBODY, LIMITS);
    if (child !== null) await host.cgroups.attach(NOBODY, child.pid as number);
  }
  if (parts.includes('sockets')) await mkdir(join(socketDir, 'root'), { recursive: true });
  if (parts.includes('tap')) await execa('ip', ['tuntap', 'add', 'dev', NOBODY, 'mode', 'tap']);
  // Without hostd's tables there is nowhere to leave one.
  if (parts.includes('element')) {
    const added = ['add', 'element', 'bridge', 'mvm', 'taps', `{ "${NOBODY}" }`];
    await execa('nft', added, { reject: false });
  }
}

/**
 * Puts the same things there under names that are not hostd's. Resolves to a function that throws unless all of them are
 * there still, and removes them.
 */
export async function plantForeign(host: ModelHost): Promise<() => Promise<void>> {
  const child = await spawnVmm(`/run/${NOT_OURS}/${NOBODY}`);
  await host.cgroups.create(NOT_OURS, LIMITS);
  await host.cgroups.attach(NOT_OURS, child.pid as number);
  await execa('ip', ['tuntap', 'add', 'dev', NOT_OURS, 'mode', 'tap']);
  await execa('nft', ['add', 'table', 'inet', NOT_OURS]);
  return async () => {
    const { stdout: tables } = await execa('nft', ['list', 'tables']);
    const { stdout: links } = await execa('ip', ['-brief', 'link']);
    const there = {
      process: child.exitCode === null && child.signalCode === null,
      cgroup: (await host.cgroups.list()).includes(NOT_OURS),
      tap: links.includes(`${NOT_OURS} `),
      table: tables.includes(`table inet ${NOT_OURS}`),
    };
    if (there.process) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    await host.cgroups.remove(NOT_OURS);
    await execa('ip', ['link', 'delete', NOT_OURS], { reject: false });
    await execa('nft', ['delete', 'table', 'inet', NOT_OURS], { reject: false });
    expect(there).toEqual({ process: true, cgroup: true, tap: true, table: true });
  };
}
