import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { until } from '@mvm/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createQemuVmm } from '../../src/vmm/qemu/driver.js';
import { createDriverHost, type DriverHost } from '../driver-contract/driver-host.js';

// While hostd is stopped, nothing shortens the log of a console: it grows up to the limit on the size of a VMM's files.

const ALMOST_FULL = 16;
let host: DriverHost;

beforeAll(async () => {
  host = await createDriverHost();
});
afterAll(() => host.close());

test.each(['own', 'host'] as const)(
  'a VMM whose console log is full goes on, and what its guest prints is lost (namespaces: %s)',
  async (namespaces) => {
    const spec = await host.prepare(60);
    const vmm = createQemuVmm({ namespaces });
    const handle = await vmm.launch(spec, (pid) => host.cgroups.attach(spec.vmId, pid));
    try {
      const limits = await readFile(`/proc/${handle.record.pid}/limits`, 'utf8');
      const limit = Number(/^Max file size +(\d+)/m.exec(limits)?.[1]);
      await truncate(spec.consolePath, limit - ALMOST_FULL);
      await handle.resume();
      await until('full', async () => (await stat(spec.consolePath)).size === limit, 120_000);
      // It boots on: what it prints once it is up comes only when the log is shortened, as hostd does.
      await until('agent', () => handle.hasAgent(), 120_000);
      expect((await stat(spec.consolePath)).size).toBe(limit);
      await writeFile(spec.consolePath, '');
      await until('counting', async () => /alive count=\d+/.test(await readFile(spec.consolePath, 'utf8')));
      expect(await readFile(spec.consolePath, 'utf8')).not.toContain('boot_id=');
      await handle.pause();
    } finally {
      await handle.kill();
      await host.discard(spec);
    }
  },
);
