import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestHost, ensureTenantAndPool, type TestHost, until } from '../daemon.js';

let host: TestHost;

beforeAll(async () => {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  host = await createTestHost();
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
