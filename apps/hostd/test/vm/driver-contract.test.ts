import { createQemuVmm } from '../../src/vmm/qemu/driver.js';
import { describeVmmContract } from '../vmm-contract.js';
import { createDriverHost } from './driver-host.js';

describeVmmContract('QEMU', async () => ({ vmm: createQemuVmm(), host: await createDriverHost() }));
