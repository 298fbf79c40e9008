import { createQemuVmm } from '../../src/vmm/qemu/driver.js';
import { describeVmmContract } from '../driver-contract/contract.js';
import { createDriverHost } from '../driver-contract/driver-host.js';

describeVmmContract('QEMU', async () => ({ vmm: createQemuVmm(), host: await createDriverHost() }));
