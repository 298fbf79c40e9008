import { readFile } from 'node:fs/promises';
import type { HostdClient } from '@mvm/hostd-client';
import {
  corpusLayers,
  differences,
  LAYER_CASES,
  type ListedEntry,
  listTreeProgram,
  parseListing,
  until,
} from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ensureTenantAndPool } from '../tenants.js';
import { createImportHost, importOwn } from './imported-host.js';
import { instanceFile } from './vm-host.js';

// Layers that are hard to get right, imported, booted, and compared in the guest with what the specification says.

const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-corpus' };
const listed = new Map<string, ListedEntry>();
let host: Host;
let client: HostdClient;

beforeAll(async () => {
  host = await createImportHost();
  await host.start();
  client = host.client();
  const program = { name: 'list-tree', data: await readFile(listTreeProgram()), mode: 0o755 };
  const [first = [], ...rest] = corpusLayers('c');
  await importOwn(host, 'corpus', {
    layers: [[program, ...first], ...rest],
    config: { Entrypoint: ['/list-tree', '/c'] },
  });
  await ensureTenantAndPool(client, 'acme', 3, {
    spec: { flake_ref: 'corpus', instance_resources: { vcpus: 1, mem_mib: 256, data_disk_mib: 0 } },
  });
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
  const console_ = instanceFile(host, address, 'runtime', 'console.log');
  const entries = await until(
    'the listing',
    async () => parseListing((await readFile(console_, 'latin1').catch(() => '')).toString()) ?? null,
    150_000,
  );
  for (const entry of entries) listed.set(entry.path, entry);
}, 240_000);
afterAll(() => host.dispose());

it.each(LAYER_CASES.map(({ name, expected }, number) => [name, number, expected] as const))(
  '%s',
  (_name, number, expected) => {
    const prefix = `${number}/`;
    const own = [...listed.keys()]
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length));
    expect(own.sort()).toEqual(Object.keys(expected).sort());
    for (const [path, wanted] of Object.entries(expected)) {
      const entry = listed.get(prefix + path);
      if (entry === undefined) throw new Error(path);
      expect(
        differences(entry, wanted, (other) => listed.get(prefix + other)),
        path,
      ).toEqual([]);
    }
  },
);
