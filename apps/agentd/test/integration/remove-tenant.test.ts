import { createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let hostd: FakeHostd;
beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  hostd = await startFakeHostd(host.socketPath);
});
afterEach(async () => {
  await host.dispose();
  await hostd.close();
});

const acme = desiredTenant('acme', 3, [
  desiredPool('web', { running: 2 }),
  desiredPool('db', { running: 1 }),
]);
const globex = desiredTenant('globex', 4, [desiredPool('api', { running: 1 })]);

it('a tenant goes with its pools and instances, once the desired state does not name it', async () => {
  const { client } = host.agentd;
  await host.agentd.start();
  await client.putDesired({ body: desiredState([acme, globex]) });
  await statusWhen(client, ({ converged }) => converged);
  const params = { tenant: 'acme' };
  await expect(client.removeTenant({ params })).rejects.toMatchObject({ reason: 'tenant.desired' });
  await client.putDesired({ body: desiredState([globex]) });
  expect(await client.removeTenant({ params })).toEqual({ tenant_id: 'acme', destroyed: 3 });
  expect((await client.listTenants()).tenants.map(({ tenant_id }) => tenant_id)).toEqual(['globex']);
  expect(hostd.model.runningIn('globex')).toBe(1);
  // What is gone is gone.
  expect(await client.removeTenant({ params })).toEqual({ tenant_id: 'acme', destroyed: 0 });
});

it('a pinned tenant stays', async () => {
  const { client } = host.agentd;
  await host.agentd.start(['--pinned', 'acme']);
  await client.putDesired({ body: desiredState([acme]) });
  await statusWhen(client, ({ converged }) => converged);
  await client.putDesired({ body: desiredState([]) });
  await expect(client.removeTenant({ params: { tenant: 'acme' } })).rejects.toMatchObject({
    reason: 'tenant.protected',
  });
  expect(hostd.model.runningIn('acme')).toBe(3);
});
