import { until } from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runAgentd, statusWhen } from '../harness/agentd.js';
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

it('metrics are scraped over loopback where that is asked for, and nothing else is', async () => {
  const daemon = await host.agentd.start(['--metrics-listen', '127.0.0.1:0']);
  await host.agentd.client.putDesired({
    body: desiredState([desiredTenant('acme', 3, [desiredPool('web', { running: 2 })])]),
  });
  await statusWhen(host.agentd.client, ({ converged }) => converged);
  const port = await until('the port', async () => /"port":(\d+),.*can be scraped/.exec(daemon.logs())?.[1]);
  const url = `http://127.0.0.1:${port}`;
  const answer = await fetch(`${url}/metrics`);
  expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  expect(await answer.text()).toContain('mvm_pool_instances{tenant="acme",pool="web",status="running"} 2\n');
  for (const path of ['/', '/v1/status', '/v1/desired', '/openapi.json']) {
    expect((await fetch(`${url}${path}`)).status).toBe(404);
  }
  expect((await fetch(`${url}/metrics`, { method: 'POST' })).status).toBe(404);
  const { activity } = await host.agentd.client.getActivity();
  expect(activity).toHaveLength(2);

  await hostd.kill();
  const without = await (await fetch(`${url}/metrics`)).text();
  expect(without).toMatch(/^mvm_agentd_hostd_up 0$/m);
  expect(without).not.toContain('mvm_instance_status{');
  await hostd.restart();
  await daemon.stop();
  await expect(fetch(`${url}/metrics`)).rejects.toThrow();
});

it('text is a format of the log', async () => {
  const daemon = await host.agentd.start(['--log-format', 'text']);
  await expect
    .poll(() => daemon.logs(), { timeout: 20_000 })
    .toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z INFO {2}listening socket=\/\S+agentd\.sock /m);
});

it.each(['0.0.0.0:9464', '192.168.1.1:9464', 'localhost:9464', '127.0.0.1', '127.0.0.1:99999'])(
  'metrics are not served on %s',
  async (address) => {
    const { status, stderr } = await runAgentd(['serve', '--metrics-listen', address]);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('--metrics-listen') });
  },
);
