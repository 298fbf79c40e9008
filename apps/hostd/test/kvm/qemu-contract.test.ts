import { expect } from 'vitest';
import { createQemuVmm } from '../../src/vmm/qemu/driver.js';
import { describeVmmContract } from '../driver-contract/contract.js';
import { createDriverHost } from '../driver-contract/driver-host.js';

describeVmmContract('QEMU with KVM', async () => {
  const vmm = createQemuVmm();
  // Emulated guests would pass as well.
  expect(await vmm.capabilities()).toMatchObject({ accelerator: 'kvm' });
  return { vmm, host: await createDriverHost({ accelerator: 'kvm' }) };
});
