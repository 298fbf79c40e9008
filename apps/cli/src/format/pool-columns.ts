import type { PoolSummary } from '@mvm/agentd-api';
import { formatAddress } from '../address/address.js';
import type { Column } from './table.js';

/** Columns of a table of pools. */
export const poolColumns: readonly Column<PoolSummary>[] = [
  { header: 'POOL', cell: formatAddress },
  { header: 'ROLE', cell: (pool) => pool.role },
  {
    header: 'RUNNING',
    cell: (pool) => `${pool.instances.running}/${pool.desired_counts.running}`,
    align: 'right',
  },
  { header: 'WARM', cell: (pool) => `${pool.instances.warm}/${pool.desired_counts.warm}`, align: 'right' },
  {
    header: 'SLEEPING',
    cell: (pool) => `${pool.instances.sleeping}/${pool.desired_counts.sleeping}`,
    align: 'right',
  },
  { header: 'STOPPED', cell: (pool) => String(pool.instances.stopped), align: 'right' },
  {
    header: 'IMAGE',
    cell: (pool) => (pool.image === null ? `${pool.flake_ref} (not registered)` : pool.image.name),
  },
  { header: 'VCPUS', cell: (pool) => String(pool.instance_resources.vcpus), align: 'right', wide: true },
  { header: 'MEMORY', cell: (pool) => `${pool.instance_resources.mem_mib}MiB`, align: 'right', wide: true },
  { header: 'DATA-DISK', cell: (pool) => dataDisk(pool), align: 'right', wide: true },
  { header: 'PROFILE', cell: (pool) => pool.profile, wide: true },
  { header: 'DIGEST', cell: (pool) => pool.image?.digest.slice(0, 19) ?? '', wide: true },
];

function dataDisk(pool: PoolSummary): string {
  const mib = pool.instance_resources.data_disk_mib;
  return mib === 0 ? '' : `${mib}MiB`;
}
