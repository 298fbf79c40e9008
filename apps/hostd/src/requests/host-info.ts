import { release } from 'node:os';
import { listImages } from '@mvm/image-store';
import { SUPPORTED_VERSIONS } from '@mvm/protocol';
import type { VmmCapabilities } from '../vmm/vmm.js';
import type { RequestHandler } from './handler.js';
import { jsonBytes, PAGE_BYTES } from './page.js';

/** What does not change while hostd runs. */
export interface HostFacts {
  readonly hostdVersion: string;
  readonly startedAt: string;
  readonly capabilities: VmmCapabilities;
  readonly clusterCidr: string;
  /** Interfaces through which guests leave the host, as of now. */
  readonly uplinks: () => readonly string[];
  /** As the kernel names it: `net:[4026531840]`. */
  readonly networkNamespace: string;
  /** Null when the VMM is not installed: a host without it still answers. May be some seconds old. */
  readonly vmmVersion: () => Promise<string | null>;
}

export const ping: RequestHandler<'Ping'> = async () => ({ type: 'Pong' });

/** How long a client waits that does not say. */
const DEFAULT_WAIT_SECS = 30;

export const waitForChange: RequestHandler<'WaitForChange'> = async (
  { seen, timeout_secs },
  { changes },
) => ({
  type: 'Changes',
  ...(await changes.wait(seen ?? null, (timeout_secs ?? DEFAULT_WAIT_SECS) * 1000)),
});

/** As many images as fit into an answer, in order of their names. */
function imagesWithin<T>(images: readonly T[], bytes: number): T[] {
  let left = bytes;
  return images.filter((image) => {
    left -= jsonBytes(image) + 1;
    return left >= 0;
  });
}

export const hostInfo: RequestHandler<'HostInfo'> = async (_request, { ports, facts }) => {
  const { store, layout, vmm, cgroups } = ports;
  const tenants = store.tenants();
  const instances = tenants.flatMap((tenant) => store.instancesOfTenant(tenant.tenant_id));
  const images = await listImages(layout.imagesDir);
  return {
    type: 'Host',
    hostd_version: facts.hostdVersion,
    protocol_versions: [...SUPPORTED_VERSIONS],
    node_version: process.version,
    kernel: release(),
    pid: process.pid,
    started_at: facts.startedAt,
    vmm: vmm.name,
    vmm_version: await facts.vmmVersion(),
    accelerator: facts.capabilities.accelerator,
    accelerator_reason: facts.capabilities.acceleratorReason,
    ...(facts.capabilities.firecracker === undefined ? {} : { firecracker: facts.capabilities.firecracker }),
    cgroup_version: cgroups.version,
    cluster_cidr: facts.clusterCidr,
    uplinks: [...facts.uplinks()],
    network_namespace: facts.networkNamespace,
    state_dir: layout.stateDir,
    images: imagesWithin(images, PAGE_BYTES),
    tenants: tenants.length,
    pools: tenants.reduce((sum, tenant) => sum + store.poolsOf(tenant.tenant_id).length, 0),
    instances: instances.length,
    running: instances.filter((instance) => instance.status === 'running').length,
  };
};
