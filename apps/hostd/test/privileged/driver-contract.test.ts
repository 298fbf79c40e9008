import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeVmmContract } from '../driver-contract/contract.js';
import { createDriverHost } from '../driver-contract/driver-host.js';
import { compileFakeVmm } from '../fake-vmm/compile.js';
import { createFakeVmm } from '../fake-vmm/driver.js';

describeVmmContract('the fake VMM', async () => {
  const file = join(tmpdir(), `mvm-drv-image-${process.pid}`);
  await writeFile(file, 'never booted');
  const host = await createDriverHost({
    image: { kernel: file, initrd: file, rootfs: file, kernelArgs: '' },
  });
  compileFakeVmm();
  const vmm = createFakeVmm({ executionLogPath: join(host.directory, 'execution-log') });
  const close = async (): Promise<void> => {
    await host.close();
    await rm(file);
  };
  return { vmm, host: { ...host, close } };
});
