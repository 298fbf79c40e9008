import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { observeNetwork, verifyNetwork } from '@mvm/net-executor/observe';
import { deriveTenantNet, instanceIp, macAddress, parseTapName, tapName } from '@mvm/protocol/names';
import { vmUidRange } from '../../src/plan/port.js';
import { errnoOf } from '../../src/state/fs-error.js';
import {
  type InstanceRecord,
  instanceRecordSchema,
  parseRecord,
  poolRecordSchema,
  tenantRecordSchema,
} from '../../src/state/records.js';
import { vmIdInArguments } from '../../src/vmm/process/vm-processes.js';
import type { VmRecord } from '../../src/vmm/vmm.js';
import { FAKE_VMM_NAME } from '../fake-vmm/driver.js';
import type { ModelHost } from './host.js';
import { type Guests, guestProblems, type Machine, machineProblems } from './machines.js';
import {
  type At,
  find,
  instancesOf,
  isLive,
  type ModelInstance,
  type ModelPool,
  type State,
} from './state.js';

/** The network of a tenant of the model. */
export const netOf = (netId: number): ReturnType<typeof deriveTenantNet> =>
  deriveTenantNet(netId, `10.240.${netId}.0/24`);

export const vmIdOf = (state: State, at: At): string =>
  tapName(state[at.tenant]?.netId ?? -1, find(state, at)?.offset ?? -1);

const AUDIT = ['audit.head', 'audit.log'];

const nameOf = ({ tenant, pool, id }: At): string => `${tenant}/${pool}/${id}`;

export const addressOf = ({
  tenant,
  pool,
  id,
}: At): { tenant_id: string; pool_id: string; instance_id: string } => ({
  tenant_id: tenant,
  pool_id: pool,
  instance_id: id,
});

/**
 * What of a state is on disk, as text: two states with the same text cannot be told apart by their records. What is known
 * only to the model (damage done behind hostd's back, the number of boots) is left out.
 */
export function recordedPart(state: State): string {
  const sorted = <T>(entries: Readonly<Record<string, T>>): [string, T][] =>
    Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted(state)
    .flatMap(([tenant, { netId, networkUp, quotas, pools }]) => [
      `${tenant}: net ${netId} ${networkUp ? 'up' : 'down'} ${JSON.stringify(Object.values(quotas))}`,
      ...sorted(pools).flatMap(([pool, { instances, ...settings }]) => [
        `  ${pool}: ${JSON.stringify(Object.values(settings))}`,
        ...sorted(instances).map(
          ([id, { status, offset, diskMib, uses }]) =>
            `    ${id}: ${status} offset ${offset} disk ${diskMib} uses ${uses === null ? '-' : `${uses.vcpus}/${uses.memMib}`}`,
        ),
      ]),
    ])
    .join('\n');
}

/** What the records on disk say, as a state; everything that is no record and no known file is a problem. */
export interface Records {
  readonly state: State;
  readonly problems: readonly string[];
  /** The VM by its id, of instances that have one recorded. */
  readonly vms: ReadonlyMap<string, VmRecord>;
  /** When the instance was created, by VM id: a name may be given again. */
  readonly born: ReadonlyMap<string, string>;
}

// Synchronous, because there are thousands of looks at hundreds of small files: each await would be a change of threads.
function names(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

export function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

export function readRecords({ layout }: ModelHost): Records {
  // hostd makes it at its start: without it, another program has removed what is looked at here.
  if (!existsSync(layout.tenantsDir)) throw new Error(`${layout.tenantsDir} is gone`);
  const problems: string[] = [];
  const vms = new Map<string, VmRecord>();
  const born = new Map<string, string>();
  const expectOnly = (directory: string, known: readonly string[]): void => {
    // After the end of a VM, hostd still writes its audit line when the record says already that it is stopped.
    const strange = names(directory).filter(
      (name) => !known.includes(name) && !name.startsWith('.audit.head.tmp-'),
    );
    if (strange.length > 0) problems.push(`${directory} holds ${strange.join(', ')}`);
  };

  function readInstance(at: At): ModelInstance {
    const address = addressOf(at);
    const path = layout.instanceRecord(address);
    const record = parseRecord(instanceRecordSchema, path, readText(path));
    const snapshots = names(layout.snapshotsDir(address));
    const wanted = record.status === 'sleeping' ? ['delta'] : [];
    if (snapshots.join() !== wanted.join()) {
      problems.push(`${nameOf(at)} is ${record.status}, and its snapshots are [${snapshots.join()}]`);
    }
    if (wanted.length > 0) {
      const files = names(join(layout.snapshotsDir(address), 'delta')).sort();
      if (files.join() !== 'memory,meta.json,vmstate')
        problems.push(`${nameOf(at)} has a snapshot of ${files.join()}`);
    }
    // A guest that hostd's end kept from its sleep is told so while requests are answered.
    const pending = record.status === 'running' ? ['wake-owed'] : [];
    expectOnly(layout.instanceDir(address), ['instance.json', 'runtime', 'volumes', 'snapshots', ...pending]);
    expectOnly(layout.volumesDir(address), ['data.ext4', 'config.ext4']);
    const runs = record.status === 'running' || record.status === 'warm';
    if (runs !== (record.vm != null) || runs !== (record.firecracker_pid != null)) {
      problems.push(
        `${nameOf(at)} is ${record.status}, and its VM is ${record.vm == null ? 'not ' : ''}recorded`,
      );
    }
    if (record.vm != null) {
      vms.set(record.vm.spec.vmId, record.vm);
      born.set(record.vm.spec.vmId, record.created_at ?? '');
    }
    return modelInstance(record);
  }

  const state: Record<string, State[string]> = {};
  for (const tenant of names(layout.tenantsDir)) {
    // Of a tenant that was removed, its audit log stays.
    if (names(layout.tenantDir(tenant)).every((name) => AUDIT.includes(name))) continue;
    expectOnly(layout.tenantDir(tenant), ['tenant.json', ...AUDIT, 'pools']);
    const path = layout.tenantRecord(tenant);
    const { net, network_up, quotas } = parseRecord(tenantRecordSchema, path, readText(path));
    const pools: Record<string, ModelPool> = {};
    for (const pool of names(layout.poolsDir(tenant))) {
      const poolAddress = { tenant_id: tenant, pool_id: pool };
      const poolPath = layout.poolRecord(poolAddress);
      const record = parseRecord(poolRecordSchema, poolPath, readText(poolPath));
      expectOnly(layout.poolDir(poolAddress), ['pool.json', 'artifacts', 'instances']);
      expectOnly(join(layout.poolDir(poolAddress), 'artifacts'), ['current', 'revisions']);
      const instances: Record<string, ModelInstance> = {};
      for (const id of names(layout.instancesDir(poolAddress))) {
        instances[id] = readInstance({ tenant, pool, id });
      }
      const { vcpus, mem_mib, data_disk_mib } = record.instance_resources;
      pools[pool] = {
        hasImage: record.image != null,
        vcpus,
        memMib: mem_mib,
        diskMib: data_disk_mib,
        compression: record.snapshot_compression,
        instances,
      };
    }
    state[tenant] = {
      netId: net.tenant_net_id,
      networkUp: network_up !== false,
      quotas: {
        vcpus: quotas.max_vcpus,
        memMib: quotas.max_mem_mib,
        running: quotas.max_running,
        warm: quotas.max_warm,
        pools: quotas.max_pools,
        instancesPerPool: quotas.max_instances_per_pool,
        diskGib: quotas.max_disk_gib,
      },
      pools,
    };
  }
  return { state, problems, vms, born };
}

function modelInstance(record: InstanceRecord): ModelInstance {
  const resources = record.running_with?.resources;
  if (record.status === 'destroyed') throw new Error(`${record.instance_id} is recorded as destroyed`);
  return {
    status: record.status,
    offset: parseTapName(record.net?.tap_dev ?? '')?.ipOffset ?? -1,
    diskMib: record.data_disk_mib ?? -1,
    uses: resources === undefined ? null : { vcpus: resources.vcpus, memMib: resources.mem_mib },
    damage: null,
    boots: 0,
  };
}

/** Every process of a VM of the host, by VM id. */
export function vmProcesses({ layout }: ModelHost): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    let argv: string[];
    try {
      argv = readText(`/proc/${name}/cmdline`).split('\0');
    } catch {
      continue;
    }
    if (argv[0] !== FAKE_VMM_NAME) continue;
    const vmId = vmIdInArguments(argv, layout.vmSocketsDir);
    if (vmId !== null) found.set(vmId, [...(found.get(vmId) ?? []), Number(name)]);
  }
  return found;
}

/**
 * Everything in which records and kernel are not what the model says; empty when they agree. `guests` is kept from one
 * look to the next. The network may be left out, because it takes longest, where nothing can have changed.
 */
export async function disagreements(
  host: ModelHost,
  expected: State,
  guests: Guests,
  network: 'looked-at' | 'left-out' = 'looked-at',
): Promise<string[]> {
  const records = readRecords(host);
  const problems = [...records.problems];
  const wanted = recordedPart(expected);
  const found = recordedPart(records.state);
  if (wanted !== found) problems.push(`the records say\n${found}\ninstead of\n${wanted}`);

  const live = instancesOf(expected).filter(({ instance }) => isLive(instance));
  const expectedIds = live.map(({ at }) => vmIdOf(expected, at)).sort();
  const processes = vmProcesses(host);
  const expectIds = (what: string, ids: Iterable<string>): void => {
    const actual = [...ids].sort();
    if (actual.join() !== expectedIds.join()) {
      problems.push(`${what}: [${actual.join()}] instead of [${expectedIds.join()}]`);
    }
  };
  expectIds('processes', processes.keys());
  expectIds('cgroups', await host.cgroups.list());
  expectIds('socket directories', names(host.layout.vmSocketsDir));

  const uids = new Map<string, string>();
  for (const { at, instance } of live) {
    const vmId = vmIdOf(expected, at);
    const pids = processes.get(vmId) ?? [];
    const vm = records.vms.get(vmId);
    if (vm === undefined || pids.length !== 1 || pids[0] !== vm.pid) {
      problems.push(`${vmId} has the processes [${pids.join()}], and ${vm?.pid} is recorded`);
      continue;
    }
    const uid = /^Uid:\t(\d+)/m.exec(readText(`/proc/${pids[0]}/status`))?.[1] ?? '';
    const expectedUid = String(ownerUid(host, expected, at));
    if (uid !== expectedUid) problems.push(`${vmId} runs as ${uid} instead of ${expectedUid}`);
    if (uids.has(uid)) problems.push(`${vmId} and ${uids.get(uid)} share the uid ${uid}`);
    uids.set(uid, vmId);
    const groups = readText(`/proc/${pids[0]}/cgroup`);
    if (!groups.includes(`/${host.config.cgroupParent}/${vmId}\n`))
      problems.push(`${vmId} is not in its cgroup`);
    problems.push(...(await machineProblems(host, vm, machineOf(expected, at))));
    problems.push(
      ...(await guestProblems(
        host,
        vmId,
        `${nameOf(at)} of ${records.born.get(vmId)} #${instance.boots}`,
        instance.status,
        guests,
      )),
    );
  }
  if (network === 'looked-at') problems.push(...(await networkProblems(host, expected)));
  problems.push(...executionProblems(host));
  return problems;
}

function machineOf(state: State, at: At): Machine {
  const { offset, uses } = find(state, at) ?? { offset: -1, uses: null };
  const mac = macAddress(state[at.tenant]?.netId ?? -1, offset);
  return { mac, vcpus: uses?.vcpus ?? 0, memMib: uses?.memMib ?? 0 };
}

function ownerUid(host: ModelHost, state: State, at: At): number {
  return host.config.vmUidBase + 256 * (state[at.tenant]?.netId ?? 0) + (find(state, at)?.offset ?? 0);
}

/** What of the kernel's network is not as the model wants it: bridges, TAPs, addresses, every element of every set. */
export async function networkProblems(host: ModelHost, state: State): Promise<string[]> {
  const tenants = Object.entries(state)
    .filter(([, { networkUp }]) => networkUp)
    .map(([tenant, { netId }]) => ({
      net: netOf(netId),
      ports: instancesOf(state)
        .filter(({ at, instance }) => at.tenant === tenant && isLive(instance))
        .map(({ at, instance: { offset } }) => ({
          tapName: tapName(netId, offset),
          mac: macAddress(netId, offset),
          ipv4: instanceIp(netOf(netId), offset),
          ownerUid: ownerUid(host, state, at),
        })),
    }));
  const observed = await observeNetwork({ uplinks: [] });
  const { clusterCidr, vmUidBase } = host.config;
  const context = { clusterCidr, uplinks: [], base: 'present', vmmUids: vmUidRange(vmUidBase) } as const;
  const drift = verifyNetwork({ tenants }, observed, context);
  return drift.map(
    ({ object, name, state: how, detail }) => `network: ${object} ${name} is ${how} (${detail})`,
  );
}

/** What must not happen twice: a state that runs, or memory and disk that do not belong together. */
function executionProblems(host: ModelHost): string[] {
  const problems: string[] = [];
  const ran = new Set<string>();
  const wentOn = new Set<string>();
  for (const line of readText(host.executionLogPath).split('\n')) {
    const [what = '', vmId = '', name = ''] = line.split(' ');
    if (what === 'run') {
      if (ran.has(name)) problems.push(`${vmId} ran twice from the state ${name}`);
      if (wentOn.has(name))
        problems.push(`${vmId} ran from the state ${name}, and so did the VM that it was saved of`);
      ran.add(name);
    }
    if (what === 'went-on') {
      if (ran.has(name)) problems.push(`${vmId} went on although its state ${name} was restored and ran`);
      wentOn.add(name);
    }
    if (what === 'torn') problems.push(`${vmId} was restored from ${name} over a disk that has moved on`);
  }
  return problems;
}
