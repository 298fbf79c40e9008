import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createQemuVmm } from '../../src/vmm/qemu/driver.js';
import { createDriverHost } from '../driver-contract/driver-host.js';

test('a panicked guest ends its VM although its image says nothing of panics', async () => {
  const host = await createDriverHost();
  const spec = await host.prepare(21, { kernelArgs: 'console=ttyS0 rdinit=/none init=/none quiet' });
  const handle = await createQemuVmm().launch(spec, (pid) => host.cgroups.attach(spec.vmId, pid));
  try {
    await handle.resume();
    const ended = await Promise.race([handle.exited, sleep(90_000, 'runs on', { ref: false })]);
    expect(ended).toEqual({ exitCode: 0, signal: null });
  } finally {
    await handle.kill();
    await host.discard(spec);
    await host.close();
  }
});
