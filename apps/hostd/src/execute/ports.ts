import type { TenantPolicies } from '@mvm/net-executor';
import type { NetworkExecutor } from '@mvm/net-executor/execute';
import type { GuestProgram, TenantNet } from '@mvm/protocol';
import type { Logger } from 'pino';
import type { Cgroups } from '../cgroup/cgroups.js';
import type { readLog } from '../console/console-log.js';
import type { Layout } from '../state/layout.js';
import type { StateStore } from '../state/store.js';
import type { TenantKeys } from '../system/tenant-keys.js';
import type { VmProcesses } from '../vmm/process/vm-processes.js';
import type { Vmm } from '../vmm/vmm.js';
import type { ExecutionHooks } from './hooks.js';
import type { PoolImages } from './pool-images.js';
import type { PortArgs } from './step.js';
import type { VmRegistry } from './vm-registry.js';

/** Tenants' networks and instances' ports. Everything may be repeated. */
export interface HostNetwork extends Pick<NetworkExecutor, 'inspect' | 'preview' | 'desired' | 'drops'> {
  reconcile(desired: {
    readonly tenants: readonly {
      readonly net: TenantNet;
      readonly ports: readonly PortArgs[];
      readonly policies: TenantPolicies;
    }[];
  }): Promise<unknown>;
  /** Policies apply at once, to ports that are there too. */
  ensureTenant(net: TenantNet, policies: TenantPolicies): Promise<unknown>;
  removeTenant(net: TenantNet): Promise<unknown>;
  attachPort(net: TenantNet, port: PortArgs, options?: { readonly keepFlows?: boolean }): Promise<unknown>;
  detachPort(net: TenantNet, port: PortArgs, options?: { readonly keepFlows?: boolean }): Promise<unknown>;
  /** Restore, within a second, what another program removes from our tables, until `close`. */
  watch(onEvent: (event: { readonly kind: string; readonly error?: Error }) => void): unknown;
  close(): Promise<void>;
}

/** Drives of instances; every path is one of the layout's. */
export interface VmDisks {
  buildConfigDrive(options: {
    readonly path: string;
    readonly config: object;
    readonly program?: GuestProgram | undefined;
  }): Promise<void>;
  /** In memory only; replaces an older one. */
  buildSecretsDrive(options: {
    readonly path: string;
    readonly secrets: ReadonlyMap<string, string>;
  }): Promise<void>;
  /** Sparse and formatted when it is not there; one that is there is left alone. */
  ensureDataDisk(options: { readonly path: string; readonly sizeMib: number }): Promise<void>;
  /** The same, encrypted. */
  makeEncryptedDisk(options: {
    readonly path: string;
    readonly sizeMib: number;
    readonly passphrase: string;
  }): Promise<void>;
  /** Throws `failed_precondition`, `disk.other_key` or `disk.damaged`; only reads. */
  checkEncryptedDisk(path: string, passphrase: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** Overwrite, fsync, unlink; nothing when it is not there. */
  wipeFile(path: string): Promise<void>;
}

/** Everything that steps may touch; built once, in the composition root. */
export interface HostPorts {
  readonly layout: Layout;
  readonly store: StateStore;
  readonly network: HostNetwork;
  readonly cgroups: Cgroups;
  readonly vmm: Vmm;
  readonly vms: VmRegistry;
  readonly disks: VmDisks;
  /** Reads a log of a console or a VMM. */
  readonly readLog: typeof readLog;
  readonly keys: TenantKeys;
  readonly images: PoolImages;
  readonly processes: VmProcesses;
  readonly hooks: ExecutionHooks;
  readonly logger: Logger;
}
