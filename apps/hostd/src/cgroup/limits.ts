import type { InstanceResources } from '@mvm/protocol';

/** Upper bounds of a VM's cgroup. `cpuMaxPercent`: 100 is one whole CPU. */
export interface CgroupLimits {
  readonly memoryMaxBytes: number;
  readonly cpuMaxPercent: number;
  readonly pidsMax: number;
}

const MIB = 1_048_576;
/** Threads of a VMM beside its vCPUs: main loop, disk workers, housekeeping. */
const VMM_THREADS = 64;

/** The cgroup that an instance of these resources gets; `overheadMib` is what its VMM takes beside the guest. Pure. */
export function cgroupLimits(
  resources: Pick<InstanceResources, 'vcpus' | 'mem_mib'>,
  overheadMib: number,
): CgroupLimits {
  return {
    memoryMaxBytes: (resources.mem_mib + overheadMib) * MIB,
    cpuMaxPercent: resources.vcpus * 100,
    pidsMax: resources.vcpus + VMM_THREADS,
  };
}
