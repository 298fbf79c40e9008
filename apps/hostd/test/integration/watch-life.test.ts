import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEntry } from '@mvm/audit-log';
import { until } from '@mvm/testkit';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createVmRegistry, type VmRegistry } from '../../src/execute/vm-registry.js';
import { type WatchLifeDeps, watchLife } from '../../src/operations/watch-life.js';
import type { VmHandle } from '../../src/vmm/vmm.js';

const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-1' };
const VM = 'no-such-tap';

let directory: string;
let consolePath: string;
let vms: VmRegistry;
let status: string;
let hasAgent: boolean;
let entries: AuditEntry[];
let changes: number;
let asked: number;
let logged: string[];
let ending: AbortController;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-life-'));
  consolePath = join(directory, 'console.log');
  await writeFile(consolePath, 'of an earlier start\n');
  vms = createVmRegistry();
  [status, hasAgent, entries, changes, logged, asked] = ['running', false, [], 0, [], 0];
  ending = new AbortController();
});
afterEach(async () => {
  ending.abort();
  vms.detachAll();
  await rm(directory, { recursive: true });
});

function watchOne(
  noticedWithinMs: number,
  handle: { asksGuestForAgent?: boolean; isAdopted?: boolean } = {},
): void {
  const logger = pino(
    { level: 'info' },
    { write: (line: string) => void logged.push((JSON.parse(line) as { msg: string }).msg) },
  );
  watchLife({
    ports: { vms, store: { instance: () => ({ status }) } } as unknown as WatchLifeDeps['ports'],
    audit: { append: async (entry: AuditEntry) => void entries.push(entry) } as WatchLifeDeps['audit'],
    clock: { now: () => '2026-11-30T00:00:00Z' } as WatchLifeDeps['clock'],
    systemContext: () => ({ opId: 'op', peer: null, logger, auditDetails: new Map() }),
    changes: {
      note: () => {
        changes += 1;
      },
    },
    signal: ending.signal,
    noticedWithinMs,
    lookAgainMs: 5,
  });
  vms.add({
    address,
    isAdopted: handle.isAdopted ?? false,
    handle: {
      record: {
        vmm: 'firecracker',
        vmmVersion: '1.12.1',
        spec: { vmId: VM, consolePath, accelerator: 'kvm' },
      },
      exited: new Promise(() => {}),
      asksGuestForAgent: handle.asksGuestForAgent ?? true,
      hasAgent: async () => {
        asked += 1;
        return hasAgent;
      },
      connectAgent: async () => null,
      detach: () => {},
    } as unknown as VmHandle,
  });
}

const sign = (): string | null | undefined => vms.get(VM)?.life.sign;
/** Until the watch knows how things stood before; its last question is the one for the agent. */
const begun = (): Promise<unknown> => until('begun', () => asked > 0, 5_000);
const seen = (wanted: string): Promise<unknown> => until(wanted, () => sign() === wanted, 5_000);

it('reports a VM that its VMM calls running and whose guest is silent, and takes that back on a late sign', async () => {
  watchOne(0);
  await seen('none');
  await until('audited', () => entries.length === 1, 5_000);
  expect(entries[0]).toMatchObject({
    operation: 'guest_silent',
    ...address,
    result: 'error',
    reason: 'no_sign_of_life',
  });
  expect(logged).toEqual(['a VM runs, and its guest has given no sign of life']);
  expect(changes).toBe(1);
  await appendFile(consolePath, 'hello\n');
  await seen('console');
  await until('noted', () => changes === 2, 5_000);
  expect(logged[1]).toBe('a guest that was silent gives a sign of life');
  expect(entries).toHaveLength(1);
});

it('takes a line on the console for a sign, and one of before not', async () => {
  watchOne(600_000, { asksGuestForAgent: false });
  await begun();
  expect(sign()).toBeNull();
  await appendFile(consolePath, 'hello\n');
  await seen('console');
  expect([entries, changes, logged]).toEqual([[], 0, []]);
});

it('takes an agent for a sign when the guest was asked', async () => {
  hasAgent = true;
  watchOne(600_000);
  await seen('agent');
});

it('does not take a VMM’s word for an agent that was there before the guest ran', async () => {
  hasAgent = true;
  watchOne(0, { asksGuestForAgent: false });
  await seen('none');
});

it('takes a VMM’s word for an agent that came', async () => {
  watchOne(600_000, { asksGuestForAgent: false });
  await begun();
  hasAgent = true;
  await seen('agent');
});

it('expects nothing of a guest that is paused', async () => {
  status = 'warm';
  watchOne(0, { asksGuestForAgent: false });
  await begun();
  await appendFile(consolePath, 'hello\n');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(sign()).toBeNull();
  status = 'running';
  await seen('console');
});
