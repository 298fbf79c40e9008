import { createFirecrackerVmm } from '../../src/vmm/firecracker/driver.js';
import { createProgramsReader } from '../../src/vmm/firecracker/program.js';
import { describeVmmContract } from '../driver-contract/contract.js';
import { createDriverHost } from '../driver-contract/driver-host.js';
import { firecrackerPrograms } from './firecracker.js';

const { firecracker, jailer } = firecrackerPrograms();

describeVmmContract('Firecracker', async () => ({
  vmm: createFirecrackerVmm({ programs: createProgramsReader(firecracker, jailer) }),
  // A snapshot has all of a guest's memory, touched or not.
  host: await createDriverHost({ accelerator: 'kvm', memMib: 96 }),
}));
