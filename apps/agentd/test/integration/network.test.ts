import { CodedError } from '@mvm/protocol';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd;

const drift = {
  object: 'element',
  name: 'gw br-tenant-3 . 10.240.3.1',
  state: 'missing',
  detail: 'not in the set',
} as const;

beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = await startFakeHostd(host.socketPath);
});
afterEach(async () => {
  await host.dispose();
  await hostd.close();
});

const metrics = (): Promise<string> => agentd.client.getMetrics();

it('drift is in status, metrics and log, and clears when it is repaired', async () => {
  const daemon = await agentd.start();
  await agentd.client.putDesired({
    body: desiredState([desiredTenant('acme', 3, [desiredPool('w', { running: 0 })])]),
  });
  const well = await statusWhen(agentd.client, (status) => status.converged && status.network !== null);
  expect(well.network).toMatchObject({ drift_count: 0, drifts: [], persistent: 0, error: null });

  hostd.model.drifts = [drift];
  const seen = await statusWhen(agentd.client, (status) => (status.network?.drift_count ?? 0) > 0);
  expect(seen.network?.drifts).toMatchObject([drift]);
  // Told when it stays, not when it is first seen: hostd repairs by itself.
  const stays = await statusWhen(agentd.client, (status) => (status.network?.persistent ?? 0) > 0);
  expect(stays.network?.drifts[0]?.since).toBe(seen.network?.drifts[0]?.since);
  const during = await metrics();
  expect(during).toContain('mvm_agentd_network_drifts{object="element"} 1\n');
  expect(during).toContain('mvm_agentd_network_drifts{object="bridge"} 0\n');
  expect(during).toMatch(/mvm_agentd_network_drift_oldest_seconds 0\.[1-9]|oldest_seconds [1-9]/);
  const warnings = daemon
    .logs()
    .split('\n')
    .filter((line) => line.includes('"network_drift"'));
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain('gw br-tenant-3');

  hostd.model.drifts = [];
  await statusWhen(agentd.client, (status) => status.network?.drift_count === 0);
  const after = await metrics();
  expect(after).toContain('mvm_agentd_network_drifts{object="element"} 0\n');
  expect(after).toContain('mvm_agentd_network_drift_oldest_seconds 0\n');
  expect(daemon.logs()).toContain('"network_in_line"');
});

it('a verification that fails fails no pass, and is shown', async () => {
  hostd.gate = async ({ type }) => {
    if (type === 'VerifyNetwork') {
      throw new CodedError({ code: 'internal', reason: 'net.nft_failed', message: 'nft: broken' });
    }
  };
  await agentd.start();
  await agentd.client.putDesired({ body: desiredState([desiredTenant('acme', 3, [])]) });
  const status = await statusWhen(
    agentd.client,
    ({ converged, network: it }) => converged && it?.error != null,
  );
  expect(status.network?.error).toMatchObject({ reason: 'net.nft_failed' });
  expect(status.last_pass?.error).toBeNull();
  expect(await metrics()).toMatch(/network_verifications_total\{result="failed"\} [1-9]/);
});

it('a hostd that does not know the request is left alone', async () => {
  hostd.gate = async ({ type }) => {
    if (type === 'VerifyNetwork') {
      throw new CodedError({
        code: 'invalid_argument',
        reason: 'protocol.unknown_message',
        message: 'what?',
      });
    }
  };
  await agentd.start();
  await agentd.client.putDesired({ body: desiredState([desiredTenant('acme', 3, [])]) });
  const status = await statusWhen(
    agentd.client,
    ({ converged, last_pass }) => converged && (last_pass?.number ?? 0) > 2,
  );
  expect(status.network).toBeNull();
});

it('the routes ask hostd and answer as it does', async () => {
  await agentd.start();
  await agentd.client.putDesired({ body: desiredState([desiredTenant('acme', 3, [])]) });
  await statusWhen(agentd.client, ({ converged }) => converged);
  expect(await agentd.client.verifyNetwork({ query: { tenant: 'acme', deep: true } })).toMatchObject({
    tenant_id: 'acme',
    probes: [],
  });
  expect(await agentd.client.verifyNetwork()).toMatchObject({ tenant_id: null, probes: null });
  expect(await agentd.client.planNetwork({ query: { tenant: 'acme', from_scratch: true } })).toMatchObject({
    from_scratch: true,
    commands: [],
  });
  expect(await agentd.client.getNetworkDrops()).toMatchObject({ counters: [] });
  await expect(agentd.client.verifyNetwork({ query: { deep: true } })).rejects.toMatchObject({
    code: 'invalid_argument',
  });
  await expect(agentd.client.verifyNetwork({ query: { tenant: 'nobody' } })).rejects.toMatchObject({
    code: 'not_found',
  });
});
