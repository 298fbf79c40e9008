import { readFileSync } from 'node:fs';
import type { DesiredState } from '@mvm/protocol/state';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';

// What the structs of crate mvm-core 0.13.0 write, as JSON.
const TESTDATA = new URL('../../../../packages/protocol/testdata/mvm-core-0.13.0/', import.meta.url);
const written = (name: string): DesiredState => JSON.parse(readFileSync(new URL(name, TESTDATA), 'utf8'));

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd;

beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = await startFakeHostd(host.socketPath);
  await agentd.start();
});
afterEach(async () => {
  await host.dispose();
  await hostd.close();
});

it('a state of mvm-core 0.13.0 is reached, kept whole, and says by name what is not honoured', async () => {
  const full = written('desired-full.json');
  const { problems } = await agentd.client.putDesired({ body: full });
  const ignored = problems.filter(({ kind }) => kind === 'ignored');
  expect(ignored).toHaveLength(7);
  expect(ignored[1]).toMatchObject({
    reason: 'desired_state.not_honoured',
    tenant_id: 'acme',
    pool_id: 'gateways',
    message: expect.stringContaining('routing_table'),
  });
  const status = await statusWhen(agentd.client, ({ converged }) => converged);
  expect(status.problems.filter(({ kind }) => kind === 'ignored')).toEqual(ignored);
  expect((await agentd.client.getDesired()).desired).toMatchObject(full);
  const pools = await agentd.client.listPools();
  expect(pools.pools.map(({ pool_id, secret_scopes }) => [pool_id, secret_scopes])).toEqual([
    ['gateways', ['BOT_TOKEN', 'db.password']],
    ['workers', ['*']],
  ]);
});

it.each([false, true])('a state with a lower sequence is refused, dry_run %s', async (dry_run) => {
  await agentd.client.putDesired({ body: written('desired-full.json') });
  const { revision } = await agentd.client.getDesired();
  const older = { ...written('desired-full.json'), sequence: 41, tenants: [] };
  await expect(agentd.client.putDesired({ body: older, query: { dry_run } })).rejects.toMatchObject({
    code: 'failed_precondition',
    reason: 'desired_state.older',
  });
  expect((await agentd.client.getDesired()).revision).toBe(revision);
  // A person's file has none.
  await agentd.client.putDesired({ body: written('desired-plain.json'), query: { dry_run } });
});
