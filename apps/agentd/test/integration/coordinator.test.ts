import { readFileSync } from 'node:fs';
import type { DesiredState } from '@mvm/protocol/state';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type AgentdHome, createAgentdHome, statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';

// What the structs of crate mvm-core 0.13.0 write, as JSON.
const TESTDATA = new URL('../../../../packages/protocol/testdata/mvm-core-0.13.0/', import.meta.url);
const written = (name: string): DesiredState => JSON.parse(readFileSync(new URL(name, TESTDATA), 'utf8'));

let home: AgentdHome;
let hostd: FakeHostd;

beforeEach(async () => {
  home = await createAgentdHome();
  hostd = await startFakeHostd(home.hostdSocket);
  await home.start();
});
afterEach(async () => {
  await home.dispose();
  await hostd.close();
});

it('a state of mvm-core 0.13.0 is reached, kept whole, and says by name what is not honoured', async () => {
  const full = written('desired-full.json');
  const { problems } = await home.client.putDesired({ body: full });
  const ignored = problems.filter(({ kind }) => kind === 'ignored');
  expect(ignored).toHaveLength(7);
  expect(ignored[1]).toMatchObject({
    reason: 'desired_state.not_honoured',
    tenant_id: 'acme',
    pool_id: 'gateways',
    message: expect.stringContaining('routing_table'),
  });
  const status = await statusWhen(home.client, ({ converged }) => converged);
  expect(status.problems.filter(({ kind }) => kind === 'ignored')).toEqual(ignored);
  expect((await home.client.getDesired()).desired).toMatchObject(full);
  const pools = await home.client.listPools();
  expect(pools.pools.map(({ pool_id, secret_scopes }) => [pool_id, secret_scopes])).toEqual([
    ['gateways', ['BOT_TOKEN', 'db.password']],
    ['workers', ['*']],
  ]);
});

it.each([false, true])('a state with a lower sequence is refused, dry_run %s', async (dry_run) => {
  await home.client.putDesired({ body: written('desired-full.json') });
  const { revision } = await home.client.getDesired();
  const older = { ...written('desired-full.json'), sequence: 41, tenants: [] };
  await expect(home.client.putDesired({ body: older, query: { dry_run } })).rejects.toMatchObject({
    code: 'failed_precondition',
    reason: 'desired_state.older',
  });
  expect((await home.client.getDesired()).revision).toBe(revision);
  // A person's file has none.
  await home.client.putDesired({ body: written('desired-plain.json'), query: { dry_run } });
});
