import { existsSync } from 'node:fs';
import { isCodedError } from '@mvm/protocol';
import { until } from '@mvm/testkit';
import { expect } from 'vitest';
import { readStartTime } from '../../src/vmm/process/process-identity.js';
import {
  addressOf,
  disagreements,
  readRecords,
  recordedPart,
  vmIdOf,
  vmProcesses,
} from './assert-consistent.js';
import { type AuditJudge, createAuditJudge, tenantOf } from './audit.js';
import { createModelHost, type ModelHost } from './host.js';
import type { Guests } from './machines.js';
import { requestOf, TENANTS } from './requests.js';
import { type Answer, type At, apply, find, instancesOf, type ModelOperation, type State } from './state.js';

const REQUEST_MS = 60_000;
/** As often, hostd starts on an empty directory, so that what only grows (audit logs) does not slow the runs down. */
const RUNS_PER_HOST = 100;
/** As often, the tenants are taken down too: to remove their networks, the kernel takes most of the time of an end. */
const RUNS_PER_TENANTS = 4;

/**
 * What every run begins with: two tenants, a pool each, and instances to make requests about; one more in the first tenant than
 * its quota lets run.
 */
const PRELUDE: readonly ModelOperation[] = (
  [
    ['acme', 3, ['i-a', 'i-b', 'i-c']],
    ['globex', 4, ['i-a']],
  ] as const
).flatMap(([tenant, netId, ids]): ModelOperation[] => [
  {
    op: 'ensure-tenant',
    tenant,
    netId,
    quotas: { vcpus: 8, memMib: 2048, running: 2, warm: 1, pools: 2, instancesPerPool: 3, diskGib: 1 },
  },
  {
    op: 'ensure-pool',
    tenant,
    pool: 'workers',
    settings: { hasImage: true, vcpus: 1, memMib: 64, diskMib: 8, compression: 'none' },
  },
  ...ids.map((id): ModelOperation => ({ op: 'create', at: { tenant, pool: 'workers', id } })),
]);

/** The network that a tenant of every run's beginning has there. */
const preludeNet = (tenant: string): number | undefined =>
  PRELUDE.flatMap((what) => (what.op === 'ensure-tenant' && what.tenant === tenant ? [what.netId] : []))[0];

/** A host that runs are made on, one after the other, each from the same beginning. */
export interface Harness {
  readonly host: ModelHost;
  /** What was done so far: requests that were sent, and looks at which model, files and kernel agreed. */
  readonly counts: { requests: number; agreements: number };
  /** The state that a run begins with. */
  begin(): Promise<State>;
  /** Send a request, with these fields beside; its answer as the model writes it. `unheard` when hostd ended first. */
  request(
    operation: ModelOperation,
    more?: { readonly drain_timeout_secs: number },
  ): Promise<Answer | 'unheard'>;
  /** Throws, with everything that differs, unless records and kernel are as the model says. */
  assertConsistent(state: State, network?: 'left-out'): Promise<void>;
  /** The state on disk, with what only the model knows taken from `from` by its own account. */
  recorded(): State;
  /** Wait until hostd has noticed every VM that ended, and nothing is under way on any instance. */
  untilSettled(): Promise<void>;
  /** Wait until an instance is recorded as stopped: its VM has ended. */
  untilStopped(at: At): Promise<void>;
  /** SIGKILL to the VM of an instance, if it has one; resolves when it is gone. */
  killVm(state: State, at: At): Promise<void>;
  /**
   * Take everything down through hostd, and find nothing left; most times but the tenants that a run begins with, if they
   * have the networks that they had. A run that failed ends by force.
   */
  end(failed: boolean): Promise<void>;
  dispose(): Promise<void>;
}

export async function createHarness(): Promise<Harness> {
  const host = await createModelHost();
  let guests: Guests = new Map();
  let audit: AuditJudge = createAuditJudge(host, TENANTS);
  let runs = 0;
  const counts = { requests: 0, agreements: 0 };

  async function request(what: ModelOperation, more: object = {}): Promise<Answer | 'unheard'> {
    const heard = audit.sending(what);
    counts.requests += 1;
    try {
      await host.client.request({ ...requestOf(what), ...more }, { timeoutMs: REQUEST_MS });
      heard('ok');
      return 'ok';
    } catch (error) {
      if (!isCodedError(error)) throw error;
      if (error.reason === 'hostd.disconnected' || error.reason === 'hostd.unreachable') return 'unheard';
      heard(`${error.code} ${error.reason}`);
      return `${error.code} ${error.reason}`;
    }
  }

  /**
   * The mark that a guest is still to be notified that it was resumed outlives one that ends just then, until hostd tries again;
   * after 5 s, see resume-pending.ts.
   */
  async function untilNothingPending(state: State): Promise<void> {
    for (const { at, instance } of instancesOf(state)) {
      if (instance.status !== 'stopped') continue;
      const pending = host.layout.resumePending(addressOf(at));
      await until(`${pending} gone`, async () => !existsSync(pending));
    }
  }

  async function assertConsistent(state: State, network?: 'left-out'): Promise<void> {
    await untilNothingPending(state);
    const problems = await disagreements(host, state, guests, network);
    if (problems.length === 0) {
      counts.agreements += 1;
      return;
    }
    throw new Error(`${problems.join('\n')}\nhostd's last words:\n${lastWords(host)}`);
  }

  return {
    host,
    counts,
    request,
    assertConsistent,
    recorded: () => readRecords(host).state,
    begin: async () => {
      runs += 1;
      if (runs % RUNS_PER_HOST === 0) await host.reset();
      guests = new Map();
      audit = createAuditJudge(host, TENANTS);
      let state: State = {};
      for (const what of PRELUDE) ({ state } = apply(state, what));
      await Promise.all(
        TENANTS.map(async (tenant) => {
          for (const what of PRELUDE.filter((one) => tenantOf(one) === tenant)) {
            expect(await request(what)).toBe('ok');
          }
        }),
      );
      return state;
    },
    untilSettled: async () => {
      await until('nothing under way, and no VM dead', async () => {
        const { instances } = await host.client.request({ type: 'ListInstances' });
        return instances.every(
          ({ operation, status, pid }) =>
            operation === null &&
            (!['running', 'warm'].includes(status) || existsSync(`/proc/${pid}/root/.`)),
        );
      });
    },
    untilStopped: async (at) => {
      await until(`${at.id} stopped`, async () => {
        const { status, operation } = await host.client.request({
          type: 'DescribeInstance',
          ...addressOf(at),
        });
        return status === 'stopped' && operation === null;
      });
    },
    killVm: async (state, at) => {
      if (find(state, at) === undefined) return;
      for (const pid of vmProcesses(host).get(vmIdOf(state, at)) ?? []) {
        process.kill(pid, 'SIGKILL');
        await until(`${pid} gone`, async () => (await readStartTime(pid)) === null);
      }
    },
    end: async (failed) => {
      if (failed) {
        await host.reset();
        return;
      }
      await host.disarm();
      const state = readRecords(host).state;
      const all = instancesOf(state).map(({ at }): ModelOperation => ({ op: 'destroy', at, flag: false }));
      expect(await Promise.all(all.map((one) => request(one)))).toEqual(all.map(() => 'ok'));
      const pools = Object.entries(state).flatMap(([tenant, { pools }]) =>
        Object.keys(pools).map((pool): ModelOperation => ({ op: 'remove-pool', tenant, pool })),
      );
      expect(await Promise.all(pools.map((one) => request(one)))).toEqual(pools.map(() => 'ok'));
      const keeps = runs % RUNS_PER_TENANTS !== 0;
      const kept = Object.entries(state).filter(([id, { netId }]) => keeps && preludeNet(id) === netId);
      const empty: State = Object.fromEntries(kept.map(([id, tenant]) => [id, { ...tenant, pools: {} }]));
      const tenants = Object.keys(state)
        .filter((tenant) => !(tenant in empty))
        .map((tenant): ModelOperation => ({ op: 'remove-tenant', tenant }));
      expect(await Promise.all(tenants.map((one) => request(one)))).toEqual(tenants.map(() => 'ok'));
      await assertConsistent(empty);
      expect(audit.problems()).toEqual([]);
    },
    dispose: () => host.dispose(),
  };
}

/** The last warnings and errors of hostd. */
export function lastWords(host: ModelHost): string {
  return host
    .logs()
    .split('\n')
    .filter((line) => /^\{"level":[456]0/.test(line))
    .slice(-8)
    .map((line) => line.slice(0, 600))
    .join('\n');
}

/** The state among `possible` that the records are of. Throws, with all of them, when it is none. */
export function onlyMatch(possible: readonly State[], found: State, after: string): State {
  const records = recordedPart(found);
  const match = possible.find((state) => recordedPart(state) === records);
  if (match !== undefined) return match;
  const all = possible.map(recordedPart).join('\nor\n');
  throw new Error(`after ${after} the records say\n${records}\nwhich is none of\n${all}`);
}
