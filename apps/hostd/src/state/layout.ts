import { join } from 'node:path';
import { isValidId, parseTapName } from '@mvm/protocol/names';

/** Which instance; the ids as they stand on the wire, already checked against the grammar. */
export interface InstanceAddress {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly instance_id: string;
}

/** Which pool. */
export type PoolAddress = Pick<InstanceAddress, 'tenant_id' | 'pool_id'>;

/** Every path of the state tree and of the run directory. Source: docs/state.md. */
export interface Layout {
  readonly stateDir: string;
  readonly runDir: string;
  readonly imagesDir: string;
  /** Room for what frees room. */
  readonly reserveDir: string;
  readonly tenantsDir: string;
  /** Holds one directory of sockets per live VM. */
  readonly vmSocketsDir: string;
  tenantDir(tenantId: string): string;
  tenantRecord(tenantId: string): string;
  auditLog(tenantId: string): string;
  /** Number and hash of the log's last entry. */
  auditHead(tenantId: string): string;
  poolsDir(tenantId: string): string;
  poolDir(pool: PoolAddress): string;
  poolRecord(pool: PoolAddress): string;
  /** Symbolic link to `revisions/<hash>`. */
  currentRevision(pool: PoolAddress): string;
  revisionsDir(pool: PoolAddress): string;
  /** `digest` as `sha256:<64 hex>`; the directory is named by the hex alone. */
  revisionDir(pool: PoolAddress, digest: string): string;
  instancesDir(pool: PoolAddress): string;
  instanceDir(address: InstanceAddress): string;
  instanceRecord(address: InstanceAddress): string;
  journal(address: InstanceAddress): string;
  /** There while a guest may have been asked to get ready for a sleep, or paused, and nothing has come of it yet. */
  resumePending(address: InstanceAddress): string;
  /** Where a destroyed instance's directory waits for its removal; no id has this form. */
  instanceTrash(address: InstanceAddress): string;
  runtimeDir(address: InstanceAddress): string;
  consoleLog(address: InstanceAddress): string;
  vmmLog(address: InstanceAddress): string;
  volumesDir(address: InstanceAddress): string;
  dataDisk(address: InstanceAddress): string;
  configDrive(address: InstanceAddress): string;
  /** Of suspended state; there while an instance sleeps. */
  snapshotsDir(address: InstanceAddress): string;
  /** `vmId` is the TAP's name. */
  vmSocketDir(vmId: string): string;
  /** In the run directory, which lives in memory: gone with the directory when the VM ends. */
  secretsDrive(vmId: string): string;
}

/** Prefix of an instance directory that is being removed. */
export const TRASH_PREFIX = '.destroyed-';

// SAFETY: the last check before an id becomes part of a path; one that fails it is a bug, not a caller's mistake.
function component(id: string): string {
  if (!isValidId(id)) throw new Error('an id that was not validated reached the state layout');
  return id;
}

function hexOf(digest: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  if (hex === undefined) throw new Error('a digest that was not validated reached the state layout');
  return hex;
}

/** The layout below a state directory and a run directory (absolute paths). Pure. */
export function createLayout(stateDir: string, runDir: string): Layout {
  const tenantsDir = join(stateDir, 'tenants');
  const tenantDir = (tenantId: string): string => join(tenantsDir, component(tenantId));
  const poolsDir = (tenantId: string): string => join(tenantDir(tenantId), 'pools');
  const poolDir = (pool: PoolAddress): string => join(poolsDir(pool.tenant_id), component(pool.pool_id));
  const instancesDir = (pool: PoolAddress): string => join(poolDir(pool), 'instances');
  const instanceDir = (address: InstanceAddress): string =>
    join(instancesDir(address), component(address.instance_id));
  const inInstance =
    (...parts: string[]) =>
    (address: InstanceAddress): string =>
      join(instanceDir(address), ...parts);
  const inPool =
    (...parts: string[]) =>
    (pool: PoolAddress): string =>
      join(poolDir(pool), ...parts);
  const revisionsDir = inPool('artifacts', 'revisions');
  const vmSocketsDir = join(runDir, 'vm');
  const vmSocketDir = (vmId: string): string => {
    if (parseTapName(vmId) === null)
      throw new Error('a VM id that is not a TAP name reached the state layout');
    return join(vmSocketsDir, vmId);
  };
  return {
    stateDir,
    runDir,
    imagesDir: join(stateDir, 'images'),
    reserveDir: join(stateDir, 'reserve'),
    tenantsDir,
    vmSocketsDir,
    tenantDir,
    tenantRecord: (tenantId) => join(tenantDir(tenantId), 'tenant.json'),
    auditLog: (tenantId) => join(tenantDir(tenantId), 'audit.log'),
    auditHead: (tenantId) => join(tenantDir(tenantId), 'audit.head'),
    poolsDir,
    poolDir,
    poolRecord: inPool('pool.json'),
    currentRevision: inPool('artifacts', 'current'),
    revisionsDir,
    revisionDir: (pool, digest) => join(revisionsDir(pool), hexOf(digest)),
    instancesDir,
    instanceDir,
    instanceRecord: inInstance('instance.json'),
    journal: inInstance('op.json'),
    resumePending: inInstance('wake-owed'),
    instanceTrash: (address) => join(instancesDir(address), TRASH_PREFIX + component(address.instance_id)),
    runtimeDir: inInstance('runtime'),
    consoleLog: inInstance('runtime', 'console.log'),
    vmmLog: inInstance('runtime', 'vmm.log'),
    volumesDir: inInstance('volumes'),
    dataDisk: inInstance('volumes', 'data.ext4'),
    configDrive: inInstance('volumes', 'config.ext4'),
    snapshotsDir: inInstance('snapshots'),
    vmSocketDir,
    secretsDrive: (vmId) => join(vmSocketDir(vmId), 'secrets.ext4'),
  };
}

/** `<tenant>/<pool>/<instance>`, as logs, locks and cursors write it. */
export function addressText(address: InstanceAddress): string {
  return `${address.tenant_id}/${address.pool_id}/${address.instance_id}`;
}

/** The address in a record. */
export function addressOf({ tenant_id, pool_id, instance_id }: InstanceAddress): InstanceAddress {
  return { tenant_id, pool_id, instance_id };
}
