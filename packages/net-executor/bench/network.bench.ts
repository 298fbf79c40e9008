import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createNetworkExecutor } from '../src/execute/index.js';
import { instancePort, tenantNet } from '../test/support/desired.js';
import { makeNamespace } from './namespaces.js';
import { measurePacketPath } from './packet-path.js';
import { addCommands, fill, hasIptables, removeCommands, runShell } from './replaced-system.js';
import { measureRoundTrip } from './round-trip.js';
import { median, p95, timed } from './statistics.js';

// Adding and removing tenant N (bridge, gateway, one TAP, isolation), ours against one shell with a call per object, in
// turns within one run, each in a network namespace with N - 1 tenants; then verify, the cost of a packet, a round trip.
// MVM_BENCH_SIZES: the values of N, `1,10,100,1000` by default.

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: { readonly min?: number; readonly max?: number };
  readonly note?: string;
}

const ROUNDS = 15;
const VERIFY_ROUNDS = 5;
const ROW = 20;
/** Between two requests: in this time hostd has its programs ready again. */
const PAUSE_MS = 200;
const sizes = (process.env.MVM_BENCH_SIZES ?? '1,10,100,1000').split(',').map(Number);
const tenant = (netId: number) => ({ net: tenantNet(netId), port: instancePort(tenantNet(netId), 3) });

async function measureTenant(n: number, iptables: boolean) {
  const before = Array.from({ length: n - 1 }, (_, i) => tenant(i + 1));
  const { net, port } = tenant(n);
  const theirs = makeNamespace();
  fill(before, iptables);
  const ours = makeNamespace();
  const executor = createNetworkExecutor({ clusterCidr: '10.240.0.0/12', uplinks: 'auto' });
  await executor.reconcile({ tenants: before.map((one) => ({ net: one.net, ports: [one.port] })) });
  const times = {
    add: [] as number[],
    remove: [] as number[],
    theirAdd: [] as number[],
    theirRemove: [] as number[],
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    ours.enter();
    times.add.push(await timed(() => executor.attachPort(net, port)));
    await delay(PAUSE_MS);
    const remove = async () => {
      await executor.detachPort(net, port);
      await executor.removeTenant(net);
    };
    times.remove.push(await timed(remove));
    // Also because programs that are kept ready belong to the namespace in which they were started.
    await delay(PAUSE_MS);
    theirs.enter();
    times.theirAdd.push(await timed(() => runShell(addCommands(net, port, iptables))));
    times.theirRemove.push(await timed(() => runShell(removeCommands(net, port, iptables))));
  }
  ours.enter();
  const verify: number[] = [];
  for (let round = 0; round < VERIFY_ROUNDS; round += 1) {
    verify.push(await timed(async () => expect(await executor.verify()).toEqual([])));
  }
  ours.close();
  theirs.close();
  return { ...times, verify };
}

/** Milliseconds per tenant, one request after the other without a pause. */
async function measureRow(iptables: boolean) {
  const tenants = Array.from({ length: ROW }, (_, i) => tenant(i + 1));
  const theirs = makeNamespace();
  fill([], iptables);
  const theirRow = await timed(async () => {
    for (const { net, port } of tenants) await runShell(addCommands(net, port, iptables));
  });
  theirs.close();
  const ours = makeNamespace();
  const executor = createNetworkExecutor({ clusterCidr: '10.240.0.0/12', uplinks: 'auto' });
  await executor.reconcile({ tenants: [] });
  const row = await timed(async () => {
    for (const { net, port } of tenants) await executor.attachPort(net, port);
  });
  await executor.close();
  ours.close();
  return { row: row / ROW, theirRow: theirRow / ROW };
}

it('measures', async () => {
  const iptables = hasIptables();
  const figures: Figure[] = [];
  let first = Number.NaN;
  for (const n of sizes) {
    const { add, remove, theirAdd, theirRemove, verify } = await measureTenant(n, iptables);
    const note = (values: readonly number[]) => `95th percentile ${p95(values).toFixed(1)} ms`;
    figures.push(
      { name: `add tenant ${n}`, value: median(add), unit: 'ms', note: note(add) },
      { name: `add tenant ${n}, one shell`, value: median(theirAdd), unit: 'ms', note: note(theirAdd) },
      {
        name: `add tenant ${n}: one shell / ours`,
        value: median(theirAdd) / median(add),
        unit: '×',
        ...(n === 1 && iptables ? { target: { min: 5 } } : {}),
      },
      { name: `remove tenant ${n}`, value: median(remove), unit: 'ms', note: note(remove) },
      {
        name: `remove tenant ${n}, one shell`,
        value: median(theirRemove),
        unit: 'ms',
        note: note(theirRemove),
      },
    );
    if (n === 1) first = median(add);
    else {
      const target = n === 1000 ? { target: { max: 2 } } : {};
      figures.push({
        name: `add tenant ${n} / add tenant 1`,
        value: median(add) / first,
        unit: '×',
        ...target,
      });
    }
    const limit = n === 1000 ? { target: { max: 500 } } : {};
    figures.push({ name: `verify ${n} tenants`, value: median(verify), unit: 'ms', ...limit });
  }
  const { row, theirRow } = await measureRow(iptables);
  figures.push(
    { name: `add ${ROW} tenants in a row, each`, value: row, unit: 'ms' },
    { name: `add ${ROW} tenants in a row, each, one shell`, value: theirRow, unit: 'ms' },
    { name: `add ${ROW} tenants in a row: one shell / ours`, value: theirRow / row, unit: '×' },
  );
  figures.push(...(await measurePacketPath(Math.max(...sizes))));
  figures.push(...(await measureRoundTrip(Math.max(...sizes))));
  for (const { name, value, unit, note } of figures) {
    process.stdout.write(`${name}: ${value.toFixed(2)} ${unit}${note === undefined ? '' : ` (${note})`}\n`);
  }
  const other = iptables
    ? 'ip, iptables and ebtables'
    : 'ip, and nft in place of iptables, which is NOT installed: no measure for the target';
  const report = {
    title: 'Tenant networks',
    method: `Tenant N with its first TAP, by the executor and by one shell with 18 calls of ${other}, in turns, ${ROUNDS} rounds, medians; before each request ${PAUSE_MS} ms of rest, but none between those in a row.`,
    figures,
  };
  mkdirSync('.bench-results', { recursive: true });
  writeFileSync('.bench-results/network.json', JSON.stringify(report, null, 2));
});
