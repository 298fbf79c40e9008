import { appendFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { FileDesiredSource } from '../../src/desired/file-source.js';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd;
let file: string;

function acme(running: number) {
  return desiredState([desiredTenant('acme', 3, [desiredPool('workers', { running })])]);
}

beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = await startFakeHostd(host.socketPath);
  file = join(host.dir, 'desired.yaml');
});
afterEach(async () => {
  await host.dispose();
  await hostd.close();
});

it('is followed as it changes; what is invalid or gone is reported and changes nothing', async () => {
  await writeFile(file, stringify(acme(1)));
  await agentd.start(['--desired', file]);
  const first = await statusWhen(agentd.client, ({ converged }) => converged);
  expect(first.desired).toMatchObject({ source: 'file', path: file, error: null });

  await writeFile(file, 'schema_version: 1\nnode_id: x\ntenants: [{tenant_id: ../x}]\n');
  const invalid = await statusWhen(agentd.client, ({ desired }) => desired.error !== null);
  expect(invalid.desired).toMatchObject({
    revision: first.desired.revision,
    error: { reason: 'desired_state.invalid', message: expect.stringContaining('tenants[0].tenant_id') },
  });
  await writeFile(file, 'tenants: [\n');
  await statusWhen(agentd.client, ({ desired }) => desired.error?.reason === 'desired_state.syntax');
  await rm(file);
  await statusWhen(agentd.client, ({ desired }) => desired.error?.reason === 'desired.unreadable');
  await agentd.client.reconcile();
  expect(hostd.model.runningIn('acme')).toBe(1);

  // As editors and configuration tools replace files. JSON is YAML.
  await writeFile(`${file}.new`, JSON.stringify(acme(3)));
  await rename(`${file}.new`, file);
  const last = await statusWhen(
    agentd.client,
    (status) => status.converged && status.desired.revision !== first.desired.revision,
  );
  expect(last.desired.error).toBeNull();
  expect(hostd.model.runningIn('acme')).toBe(3);
});

it('counts only at rest: half a document may be valid, with half the tenants', async () => {
  const whole = stringify(
    desiredState([
      desiredTenant('acme', 3, [desiredPool('workers', { running: 1 })]),
      desiredTenant('globex', 4, [desiredPool('api', { running: 1 })]),
    ]),
  );
  const half = whole.slice(0, whole.indexOf('  - tenant_id: globex'));
  await writeFile(file, half);
  const source = await FileDesiredSource.open(file, () => Date.now(), 60_000);
  try {
    expect(source.loaded).toBeNull();
    await appendFile(file, whole.slice(half.length));
    await source.poll();
    expect(source.loaded).toBeNull();
    await source.poll();
    const tenants = () => source.loaded?.desired.tenants.map(({ tenant_id }) => tenant_id);
    expect(tenants()).toEqual(['acme', 'globex']);
    // The same once a document is in force; what is at rest and invalid is said, and changes nothing.
    await writeFile(file, half);
    await source.poll();
    expect(tenants()).toEqual(['acme', 'globex']);
    await writeFile(file, `${half}  - tenant_id: glo`);
    await source.poll();
    expect(source.status().error).toBeNull();
    await source.poll();
    expect(source.status().error).toMatchObject({ reason: 'desired_state.invalid' });
    expect(tenants()).toEqual(['acme', 'globex']);
  } finally {
    await source.close();
  }
});

it('refuses PUT, and says where the state comes from', async () => {
  await writeFile(file, stringify(acme(1)));
  await agentd.start(['--desired', file]);
  await expect(agentd.client.putDesired({ body: acme(2) })).rejects.toMatchObject({
    code: 'failed_precondition',
    reason: 'desired.from_file',
    hint: expect.stringContaining('--desired'),
  });
  expect((await agentd.client.putDesired({ body: acme(2), query: { dry_run: true } })).applied).toBe(false);
});

it('may come later', async () => {
  await agentd.start(['--desired', file]);
  expect((await agentd.client.getStatus()).desired).toMatchObject({
    source: 'file',
    revision: null,
    error: { message: expect.stringContaining('does not exist') },
  });
  await writeFile(file, stringify(acme(1)));
  await statusWhen(agentd.client, ({ converged }) => converged);
});

it('kept state that is damaged is reported, and changes nothing until one is applied', async () => {
  const first = await agentd.start();
  await agentd.client.putDesired({ body: acme(2) });
  await statusWhen(agentd.client, ({ converged }) => converged);
  await first.stop();
  await writeFile(join(agentd.stateDir, 'desired.json'), '{"schema_version":1,');
  await agentd.start();
  const status = await agentd.client.reconcile();
  expect(status).toMatchObject({
    converged: false,
    desired: { source: 'none', error: { reason: 'state.damaged' } },
  });
  expect(hostd.model.runningIn('acme')).toBe(2);
  await agentd.client.putDesired({ body: acme(1) });
  await statusWhen(agentd.client, ({ converged }) => converged);
});
