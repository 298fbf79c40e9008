import type { InstanceResources, PlanStep } from '@mvm/protocol';
import type { Step, StepArgs, StepKind } from '../execute/step.js';
import { samePolicies } from '../plan/same-policies.js';
import { addressText, type PoolAddress } from '../state/layout.js';
import type { TenantRecord } from '../state/records.js';
import { instanceNetView, poolView, tenantView } from './views.js';

/** How one kind of step is described. */
interface StepText<K extends StepKind> {
  /** What it acts on. */
  object(args: StepArgs[K]): string;
  /** A phrase in the infinitive, without the object. */
  what(args: StepArgs[K]): string;
  /** What of the arguments is shown, where that is not all of them: records may have fields that we do not know. */
  shown?(args: StepArgs[K]): object;
}

const poolText = ({ tenant_id, pool_id }: PoolAddress): string => `${tenant_id}/${pool_id}`;
const sizeText = ({ vcpus, mem_mib }: Pick<InstanceResources, 'vcpus' | 'mem_mib'>): string =>
  `${vcpus} vCPU${vcpus === 1 ? '' : 's'}, ${mem_mib} MiB`;

const address = {
  object: (args: { address: Parameters<typeof addressText>[0] }) => addressText(args.address),
};
const vm = { object: (args: { vmId: string }) => args.vmId };
const port = { object: (args: StepArgs['port.attach']) => args.port.tapName };
const cgroup = { object: (args: { name: string }) => args.name };
const bridge = { object: (args: StepArgs['network.ensure']) => args.net.bridge_name };

function tenantChange({ record, before }: StepArgs['tenant.save']): string {
  if (before === null) return 'record the tenant';
  const changed: string[] = [];
  const differs = (field: keyof TenantRecord): boolean =>
    JSON.stringify(record[field]) !== JSON.stringify(before[field]);
  if (differs('quotas')) changed.push('its quotas');
  if (differs('net')) changed.push('its network');
  if (differs('policy')) changed.push('its network policy');
  if (differs('network_up'))
    changed.push(`that its network is ${record.network_up === false ? 'down' : 'up'}`);
  return `record ${changed.length === 0 ? 'what has changed of it' : changed.join(', ')}`;
}

const texts: { readonly [K in StepKind]: StepText<K> } = {
  'runtime.create': { ...vm, what: () => 'make the directories of its sockets and logs' },
  'runtime.remove': { ...vm, what: () => 'remove the directory of its sockets' },
  'config_drive.build': {
    ...address,
    what: ({ program = {} }) =>
      ['build its config drive', Object.keys(program).join(', ')]
        .filter((part) => part !== '')
        .join(", with the pool's "),
    shown: ({ address: { tenant_id, pool_id, instance_id }, config }) => ({
      address: { tenant_id, pool_id, instance_id },
      config,
    }),
  },
  'secrets_drive.build': {
    ...address,
    what: ({ scopes }) => `build its secrets drive, in memory, of: ${scopes.join(', ')}`,
  },
  'data_disk.ensure': {
    ...address,
    what: ({ sizeMib }) =>
      `make its data disk of ${sizeMib} MiB, unless it is there; encrypted when the tenant has a key`,
  },
  'cgroup.create': {
    ...cgroup,
    what: ({ limits: { memoryMaxBytes, cpuMaxPercent, pidsMax } }) =>
      `make its cgroup: ${Math.ceil(memoryMaxBytes / 1_048_576)} MiB, ${cpuMaxPercent} % of a CPU, ${pidsMax} tasks`,
  },
  'cgroup.remove': { ...cgroup, what: () => 'remove its cgroup' },
  'port.attach': {
    ...port,
    what: ({ net, port: { ipv4, mac } }) => `connect it to ${net.bridge_name} as ${ipv4}, ${mac}`,
  },
  'port.detach': { ...port, what: ({ net }) => `take it off ${net.bridge_name}` },
  'vm.launch': {
    ...vm,
    what: ({ image, vcpus, memMib, uid, accelerator }) =>
      `launch a paused VM of image ${image.name} as uid ${uid}: ${sizeText({ vcpus, mem_mib: memMib })}, ${accelerator}`,
  },
  'vm.record': { ...vm, what: () => 'record how to find the VM again' },
  'vm.resume': { ...vm, what: () => 'let its vCPUs run' },
  'vm.pause': { ...vm, what: () => 'stop its vCPUs' },
  'vm.restore': {
    ...vm,
    what: ({ vcpus, memMib, uid }) =>
      `launch a VM with the memory of the snapshot as uid ${uid}: ${sizeText({ vcpus, mem_mib: memMib })}`,
  },
  'vm.kill': { ...vm, what: () => 'end its VM' },
  'guest.wake': { ...vm, what: () => 'tell its guest the time, and that it runs again' },
  'snapshot.write': {
    ...address,
    what: ({ compression }) => `write its memory to disk, compression ${compression}`,
  },
  'snapshot.commit': { ...address, what: () => 'give the snapshot its final name: from here on it sleeps' },
  'snapshot.verify': {
    ...address,
    what: () => 'check the snapshot, the disks and the VMM against its manifest',
  },
  'snapshot.consume': { ...address, what: () => 'use the snapshot up: from here on it is awake' },
  'snapshot.check': { ...address, what: () => 'check the memory that its guest runs from already' },
  'snapshot.discard': { ...address, what: () => 'discard its snapshot, if there is one' },
  'instance.commit_running': { ...address, what: () => 'record it as running' },
  'instance.commit_sleeping': { ...address, what: () => 'record it as sleeping' },
  'instance.commit_warm': { ...address, what: () => 'record it as warm' },
  'instance.commit_resumed': { ...address, what: () => 'record it as running' },
  'instance.commit_stopped': { ...address, what: () => 'record it as stopped' },
  'instance.prepare': { ...address, what: () => 'record it as ready: its pool has an image' },
  'instance.remove': { ...address, what: () => 'delete its directory, with its disks' },
  'instance.create': {
    object: ({ record }) => addressText(record),
    what: ({ record: { net, status } }) =>
      `record it as ${status}${net == null ? '' : `, with ${net.guest_ip} on ${net.tap_dev}`}`,
    shown: ({
      record: { tenant_id, pool_id, instance_id, status, role, net, data_disk_mib, created_at },
    }) => ({
      record: {
        ...{ tenant_id, pool_id, instance_id, status, role },
        net: instanceNetView(net),
        ...{ data_disk_mib, created_at },
      },
    }),
  },
  'volumes.wipe': { ...address, what: () => 'overwrite its disks and its memory on disk' },
  'tenant.save': {
    object: ({ record }) => record.tenant_id,
    what: tenantChange,
    shown: ({ record, before }) => ({
      record: tenantView(record),
      before: before === null ? null : tenantView(before),
    }),
  },
  'tenant.remove': {
    object: ({ tenantId }) => tenantId,
    what: () => 'forget the tenant; its audit log stays',
  },
  'network.ensure': {
    ...bridge,
    what: ({ net, policies, before }) =>
      before === null || samePolicies(policies, before)
        ? `bring the network ${net.ipv4_subnet} up, where it is not`
        : `apply other network policies to ${net.ipv4_subnet}`,
  },
  'network.remove': { ...bridge, what: ({ net }) => `take the network ${net.ipv4_subnet} down` },
  'pool.save': {
    object: ({ record }) => poolText(record),
    what: ({ before }) => (before === null ? 'record the pool' : 'record what has changed of the pool'),
    shown: ({ record, before }) => ({
      record: poolView(record),
      before: before === null ? null : poolView(before),
    }),
  },
  'pool.remove': { object: ({ pool }) => poolText(pool), what: () => 'forget the pool, with its images' },
  'image.activate': {
    object: ({ pool }) => poolText(pool),
    what: ({ image: { name, digest } }) =>
      `have the pool boot image ${name}, ${digest.slice(0, 'sha256:'.length + 12)}`,
  },
};

/** A value as JSON has it, with the names of members as the wire writes names. */
function onTheWire(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(onTheWire);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([name, member]) => [
        name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        // Names of variables are the pool's own.
        name === 'env' ? member : onTheWire(member),
      ]),
  );
}

/** A step as it crosses the socket: what it is, on what, in words, and its arguments. Pure. */
export function stepView(step: Step): PlanStep {
  // The table's entry for a kind tells exactly the steps of this kind.
  const text = texts[step.kind] as StepText<StepKind>;
  const { kind, ...all } = step;
  const args = onTheWire(text.shown?.(step as never) ?? all) as PlanStep['args'];
  return { kind, object: text.object(step as never), what: text.what(step as never), args };
}
