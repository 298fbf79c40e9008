/**
 * What a Ping costs, three ways in turn, round after round:
 *   a  a bare node:net echo of the same frame, one connection per request, 16 clients
 *   b  version 1 on mvm-hostd, one connection per request, 16 clients
 *   c  version 2 on mvm-hostd, one connection, 16 requests in flight, through the typed client
 * a and b are driven by the same bare client, so that they differ in the server only; every server is a process of its
 * own. hostd is the one on MVM_HOSTD_SOCKET; else the one built here, started for this (as root); else, or with --stand-in,
 * the stand-in beside this file.
 * Options: --rounds 150 --round-ms 60 --stand-in
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createHostdClient } from '@mvm/hostd-client';
import { v1RequestCodec } from '@mvm/protocol/v1';
import { median, quantile, runFor } from './measure.mjs';
import { canStartHostd, startHostd, startScript } from './processes.mjs';
import { exchange } from './raw-client.mjs';

const CLIENTS = 16;
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '150' },
    'round-ms': { type: 'string', default: '60' },
    'stand-in': { type: 'boolean', default: false },
  },
});
const here = dirname(fileURLToPath(import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'mvm-ping-bench-'));
const echoPath = join(dir, 'echo.sock');
const given = process.env.MVM_HOSTD_SOCKET;
const hostdPath = given ?? join(dir, 'hostd.sock');

const isReal = given !== undefined || (canStartHostd() && !values['stand-in']);

/** @type {{ stop(): Promise<void> }[]} */
const servers = [];
const client = createHostdClient({ socketPath: hostdPath, clientName: 'mvm-ping-bench' });

const body = v1RequestCodec.encode({ type: 'Ping' });
const frame = Buffer.alloc(4 + body.length);
frame.writeUInt32BE(body.length);
frame.set(body, 4);

/** @type {{ name: string, request: () => Promise<unknown>, rates: number[], latencies: number[] }[]} */
const sides = [
  { name: 'echo', request: () => exchange(echoPath, frame), rates: [], latencies: [] },
  { name: 'v1', request: () => exchange(hostdPath, frame), rates: [], latencies: [] },
  {
    name: 'v2',
    request: () => client.request({ type: 'Ping' }),
    rates: [],
    latencies: [],
  },
];

try {
  servers.push(await startScript('echo-server.mjs', echoPath));
  if (given === undefined) {
    servers.push(await (isReal ? startHostd(hostdPath) : startScript('stand-in-server.mjs', hostdPath)));
  }
  for (const side of sides) await runFor(2000, CLIENTS, side.request);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    // Each round begins with another side, so that none is always the one after a busy one.
    for (let turn = 0; turn < sides.length; turn += 1) {
      const side = sides[(round + turn) % sides.length];
      if (side === undefined) throw new Error('no such side');
      const { rate, latencies } = await runFor(Number(values['round-ms']), CLIENTS, side.request);
      side.rates.push(rate);
      for (const latency of latencies) side.latencies.push(latency);
    }
  }
} finally {
  await client.close();
  for (const server of servers) await server.stop();
  rmSync(dir, { recursive: true, force: true });
}

const [echo, v1, v2] = sides;
if (!echo || !v1 || !v2) throw new Error('a side is missing');
const ratio = (/** @type {number[]} */ of, /** @type {number[]} */ to) =>
  Number(median(of.map((rate, round) => rate / (to[round] ?? Number.NaN))).toFixed(3));
const server = isReal ? 'mvm-hostd' : 'a stand-in with the real framing and codecs';
const figures = [
  {
    name: 'Ping, version 1, against the bare echo',
    value: ratio(v1.rates, echo.rates),
    unit: '×',
    target: { min: 0.8 },
  },
  {
    name: 'Ping, version 2, against version 1',
    value: ratio(v2.rates, v1.rates),
    unit: '×',
    target: { min: 4 },
  },
  ...sides.flatMap((side) => [
    { name: `${side.name}, rate`, value: Math.round(median(side.rates)), unit: 'requests/s' },
    { name: `${side.name}, p50`, value: Number(quantile(side.latencies, 0.5).toFixed(3)), unit: 'ms' },
    { name: `${side.name}, p99`, value: Number(quantile(side.latencies, 0.99).toFixed(3)), unit: 'ms' },
  ]),
];
const report = {
  title: 'Ping',
  method:
    `16 clients with a connection per request (echo: bare node:net; v1: ${server}), and 16 requests in flight on one ` +
    `connection (v2); ${values.rounds} interleaved rounds of ${values['round-ms']} ms each; medians of the rounds.`,
  figures,
};
const results = join(here, '..', '.bench-results');
mkdirSync(results, { recursive: true });
writeFileSync(join(results, 'ping.json'), `${JSON.stringify(report, null, 2)}\n`);

process.stdout.write(
  `${cpus()[0]?.model} × ${cpus().length}, Linux ${release()}, Node ${process.version}\n${report.method}\n`,
);
for (const { name, value, unit, target } of figures) {
  const wanted = target === undefined ? '' : `   target ≥ ${target.min}`;
  process.stdout.write(`${name.padEnd(42)} ${String(value).padStart(10)} ${unit}${wanted}\n`);
}
