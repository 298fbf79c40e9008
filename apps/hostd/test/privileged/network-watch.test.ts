import { execFileSync } from 'node:child_process';
import { until } from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureTenantAndPool } from '../tenants.js';

let host: Host;

beforeAll(async () => {
  host = await createHost();
  await host.start();
  await ensureTenantAndPool(host.client(), 'acme', 3);
});
afterAll(() => host.dispose());

const rules = (): string => execFileSync('nft', ['-s', 'list', 'ruleset'], { encoding: 'utf8' });

test('hostd restores what another program flushes', async () => {
  const before = rules();
  expect(before).toContain('br-tenant-3');
  execFileSync('nft', ['flush', 'ruleset']);
  await until('the rules are back', async () => rules() === before, 10_000);
});
