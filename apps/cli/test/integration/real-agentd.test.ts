import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runMvm } from './run-mvm.js';

let host: Host;

/** The real agentd, on a host without hostd: what needs no root is held against the real thing. */
beforeAll(async () => {
  host = await createHost({ hostd: 'none' });
  await host.agentd.start();
});
afterAll(() => host?.dispose());

const mvm = (...args: string[]) => runMvm(args, { socket: host.agentd.socketPath });

it('tells agentd, which answers, from hostd, which does not', async () => {
  const version = await mvm('version');
  expect(version.code, version.stderr).toBe(6);
  expect(version.stdout).toMatch(/^mvm-agentd +\d+\.\d+\.\d+/m);
  expect(version.stdout).not.toContain('mvm-hostd');
  const ping = await mvm('ping');
  expect(ping.code).toBe(6);
  expect(ping.stdout).toMatch(/agentd → hostd +no answer/);
  expect(await mvm('instance', 'list')).toMatchObject({ code: 6, stdout: '' });
  const { stdout } = await mvm('doctor', '-o', 'json');
  const { checks } = JSON.parse(stdout) as { checks: { check: string; verdict: string }[] };
  expect(checks).toContainEqual(expect.objectContaining({ check: 'agentd', verdict: 'ok' }));
  expect(checks).toContainEqual(expect.objectContaining({ check: 'hostd', verdict: 'fail' }));
});

it('takes a desired state that it cannot act on yet, and says so', async () => {
  const file = join(host.dir, 'state.yaml');
  await writeFile(file, 'schema_version: 1\nnode_id: node-1\ntenants: []\n');
  expect(await mvm('apply', '-f', file, '--dry-run')).toMatchObject({ code: 6 });
  const applied = await mvm('apply', '-f', file, '-o', 'json');
  expect(applied.code, applied.stderr).toBe(0);
  const { revision } = JSON.parse(applied.stdout) as { revision: string };
  const status = await mvm('status');
  expect(status.code, status.stderr).toBe(6);
  expect(status.stdout).toContain(revision);
  expect(status.stdout).toContain('unknown: agentd cannot ask hostd');
  expect(await mvm('apply', '-f', file, '--wait', '--timeout', '1s')).toMatchObject({ code: 6 });
});

it('has invalid addresses refused before they are sent', async () => {
  expect(await mvm('instance', 'info', '../x/y')).toMatchObject({ code: 2 });
});
