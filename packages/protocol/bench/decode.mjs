/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * `pnpm bench`: how many frame bodies a second one core decodes and validates, and how that compares with a bare
 * JSON.parse of the same bytes, which checks nothing. Both sides take turns in rounds of one run; the figure is the
 * median round. Needs the build (`dist/`).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { clientFrameCodec, serverFrameCodec } from '@mvm/protocol';
import { deriveTenantNet } from '@mvm/protocol/names';
import { v1RequestCodec } from '@mvm/protocol/v1';
import { Bench } from 'tinybench';

const ROUNDS = 15;
const BATCH = 100;
const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a3f7b2c1' };
const net = deriveTenantNet(3, '10.240.3.0/24');
/** @type {import('@mvm/protocol').V1Request[]} */
const requests = [
  { type: 'Ping' },
  { type: 'StartInstance', ...address },
  { type: 'StopInstance', ...address },
  { type: 'SleepInstance', ...address, force: false, drain_timeout_secs: 30 },
  { type: 'WakeInstance', ...address },
  { type: 'DestroyInstance', ...address, wipe_volumes: true },
  { type: 'SetupNetwork', tenant_id: 'acme', net },
  { type: 'TeardownNetwork', tenant_id: 'acme', net },
];
const decoder = new TextDecoder('utf-8', { fatal: true });

const cases = [
  {
    name: 'version 1 request',
    decode: v1RequestCodec.decode,
    bodies: requests.map((request) => v1RequestCodec.encode(request)),
  },
  {
    name: 'version 2 request in its envelope',
    decode: clientFrameCodec.decode,
    bodies: requests.map((request, id) => clientFrameCodec.encode({ type: 'request', id, request })),
  },
  {
    name: 'version 2 Ok in its envelope',
    decode: serverFrameCodec.decode,
    bodies: [serverFrameCodec.encode({ type: 'response', id: 7, response: { type: 'Ok' } })],
  },
];

/** What was decoded last; printed, so that no decoding can be optimised away. */
let last;

/** @param {(body: Uint8Array) => unknown} decode @param {Uint8Array[]} bodies */
function batch(decode, bodies) {
  return () => {
    for (let i = 0; i < BATCH; i += 1) last = decode(bodies[i % bodies.length] ?? new Uint8Array());
  };
}

/** @param {number[]} values */
function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

const figures = [];
for (const { name, decode, bodies } of cases) {
  const ours = [];
  const ratios = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const bench = new Bench({ time: 60, warmupTime: round === 0 ? 300 : 20 });
    bench.add('ours', batch(decode, bodies));
    bench.add(
      'bare',
      batch((body) => JSON.parse(decoder.decode(body)), bodies),
    );
    await bench.run();
    const [our, bare] = bench.tasks.map(({ result }) => {
      if (!('latency' in result)) throw new Error(`a task did not complete: ${result.state}`);
      return (BATCH * 1000) / result.latency.p50;
    });
    ours.push(our);
    ratios.push(our / bare);
  }
  figures.push({
    name: `${name}: decoded and validated`,
    value: Math.round(median(ours)),
    unit: '1/s per core',
  });
  figures.push({
    name: `${name}: against bare JSON.parse`,
    value: Number(median(ratios).toFixed(2)),
    unit: '×',
    target: { min: 0.4 },
  });
}

const report = {
  title: 'Frame bodies: decode and validate',
  method: `Eight kinds of request in turn, ${ROUNDS} rounds that alternate with TextDecoder and JSON.parse of the same bytes; the median round.`,
  figures,
};
mkdirSync('.bench-results', { recursive: true });
writeFileSync('.bench-results/decode.json', `${JSON.stringify(report, null, 2)}\n`);
console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, kernel ${release()}, Node ${process.versions.node}`);
for (const { name, value, unit } of figures) console.log(`${name}: ${value} ${unit}`);
console.log(`last: ${JSON.stringify(last)}`);
