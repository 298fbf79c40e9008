import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileStandIn } from '../stand-in/compile.js';
import { createStandInVmm } from '../stand-in/driver.js';
import { createDriverHost } from '../vm/driver-host.js';
import { describeVmmContract } from '../vmm-contract.js';

describeVmmContract('the stand-in', async () => {
  const file = join(tmpdir(), `mvm-drv-image-${process.pid}`);
  await writeFile(file, 'never booted');
  const host = await createDriverHost({
    image: { kernel: file, initrd: file, rootfs: file, kernelArgs: '' },
  });
  compileStandIn();
  const vmm = createStandInVmm({ witnessPath: join(host.directory, 'witness') });
  const close = async (): Promise<void> => {
    await host.close();
    await rm(file);
  };
  return { vmm, host: { ...host, close } };
});
