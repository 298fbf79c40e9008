import type { InstanceResources } from '@mvm/protocol';

/** Upper bounds of a VM's cgroup. `cpuMaxPercent`: 100 is one whole CPU. */
export interface CgroupLimits {
  readonly memoryMaxBytes: number;
  readonly cpuMaxPercent: number;
  readonly pidsMax: number;
}

const MIB = 1_048_576;
/** What a VMM needs beside the guest's memory: its own code and buffers; under TCG also the translated code. */
const VMM_OVERHEAD_MIB = { kvm: 192, tcg: 512 } as const;
/** Threads of a VMM beside its vCPUs: main loop, disk workers, housekeeping. */
const VMM_THREADS = 64;

/** The cgroup that an instance of these resources gets. Pure. */
export function cgroupLimits(
  resources: Pick<InstanceResources, 'vcpus' | 'mem_mib'>,
  accelerator: 'kvm' | 'tcg',
): CgroupLimits {
  return {
    memoryMaxBytes: (resources.mem_mib + VMM_OVERHEAD_MIB[accelerator]) * MIB,
    cpuMaxPercent: resources.vcpus * 100,
    pidsMax: resources.vcpus + VMM_THREADS,
  };
}
