/**
 * How many frames a second one core decodes, out of 64 KiB chunks as a socket delivers them, against merely copying
 * the same bytes. The two take turns; each frame's length is summed up, so that nothing can be left out.
 * Options: --rounds 20
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { encodeFrame, FrameDecoder } from '@mvm/framing';

const CHUNK_BYTES = 65_536;
const STREAM_BYTES = 32 * 1024 * 1024;
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '20' } } });

/** @param {number} bodyBytes */
function makeStream(bodyBytes) {
  const frame = Buffer.from(encodeFrame(Buffer.alloc(bodyBytes, 0x61)));
  const frames = Math.floor(STREAM_BYTES / frame.length);
  const stream = Buffer.alloc(frames * frame.length);
  for (let index = 0; index < frames; index += 1) frame.copy(stream, index * frame.length);
  return { stream, frames };
}

/** @param {Buffer} stream */
function decodeAll(stream) {
  const decoder = new FrameDecoder();
  let bytes = 0;
  for (let at = 0; at < stream.length; at += CHUNK_BYTES) {
    for (const frame of decoder.push(stream.subarray(at, at + CHUNK_BYTES))) bytes += frame.length;
  }
  decoder.end();
  return bytes;
}

/** @param {Buffer} stream */
function copyAll(stream) {
  let bytes = 0;
  for (let at = 0; at < stream.length; at += CHUNK_BYTES)
    bytes += Buffer.from(stream.subarray(at, at + CHUNK_BYTES)).length;
  return bytes;
}

/** @param {() => number} work @param {number} expected */
function timeMs(work, expected) {
  const started = performance.now();
  const bytes = work();
  const elapsed = performance.now() - started;
  if (bytes !== expected) throw new Error(`${bytes} bytes instead of ${expected}`);
  return elapsed;
}

/** @param {number[]} times */
const median = (times) => times.sort((one, other) => one - other)[Math.floor(times.length / 2)] ?? Number.NaN;

/** @type {{ name: string, value: number, unit: string }[]} */
const figures = [];
for (const bodyBytes of [6, 100, 1000, 100_000]) {
  const { stream, frames } = makeStream(bodyBytes);
  /** @type {number[]} */
  const decoding = [];
  /** @type {number[]} */
  const copying = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    decoding.push(timeMs(() => decodeAll(stream), frames * bodyBytes));
    copying.push(timeMs(() => copyAll(stream), stream.length));
  }
  const decodeMs = median(decoding);
  figures.push(
    {
      name: `bodies of ${bodyBytes} bytes`,
      value: Math.round((frames * 1000) / decodeMs),
      unit: 'frames/s per core',
    },
    {
      name: `bodies of ${bodyBytes} bytes, time against a copy`,
      value: Number((decodeMs / median(copying)).toFixed(2)),
      unit: '×',
    },
  );
}

const report = {
  title: 'Frame decoding',
  method: `32 MiB of frames in chunks of 64 KiB, against copying the chunks; ${values.rounds} interleaved rounds, medians.`,
  figures,
};
const results = join(dirname(fileURLToPath(import.meta.url)), '..', '.bench-results');
mkdirSync(results, { recursive: true });
writeFileSync(join(results, 'decode.json'), `${JSON.stringify(report, null, 2)}\n`);

process.stdout.write(
  `${cpus()[0]?.model} × ${cpus().length}, Linux ${release()}, Node ${process.version}\n${report.method}\n`,
);
for (const { name, value, unit } of figures) {
  process.stdout.write(`${name.padEnd(50)} ${String(value).padStart(12)} ${unit}\n`);
}
