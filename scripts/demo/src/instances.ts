import type { Mvm } from './mvm.js';

/** One instance as `mvm instance list` has it. */
export interface ListedInstance {
  /** `<tenant>/<pool>/<instance>`. */
  readonly address: string;
  /** Of its VMM, as the host numbers it; null when none runs. */
  readonly pid: number | null;
}

/** All instances, by address. */
export async function listInstances(mvm: Mvm): Promise<ListedInstance[]> {
  const list = JSON.parse(await mvm.read(['instance', 'list', '-o', 'json'])) as {
    items: { tenant_id: string; pool_id: string; instance_id: string; pid: number | null }[];
  };
  return list.items
    .map(({ tenant_id, pool_id, instance_id, pid }) => ({
      address: `${tenant_id}/${pool_id}/${instance_id}`,
      pid,
    }))
    .sort((one, other) => (one.address < other.address ? -1 : 1));
}
