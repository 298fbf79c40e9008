import { spawn } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import * as streams from 'node:stream';
import { type Duplex, pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { badDigest, badLayer, limitExceeded } from '../errors.js';
import type { LayerJob } from './job.js';

const CHUNK_BYTES = 256 * 1024;
/** Largest window of a zstd frame that is accepted, MiB: what `zstd --ultra` uses at most without `--long`. */
const ZSTD_MEMORY_MIB = 128;

export interface ReadLayerOptions {
  /** Bytes that the layer may have when unpacked. */
  readonly maxBytes: number;
  /** Told of bytes of the packed file. */
  readonly onRead: (bytes: number) => void;
  readonly onChunk: (chunk: Buffer) => void;
}

/**
 * Reads a layer, unpacks it, and checks both its digests at its end. Bytes unpacked. Throws `image.bad_digest`,
 * `image.bad_layer`, `image.limit_exceeded`.
 */
export async function readLayer(layer: LayerJob, options: ReadLayerOptions): Promise<number> {
  const packedHash = hashOf(layer.digest);
  const plainHash = hashOf(layer.diffId);
  let packed = 0;
  let plain = 0;
  const source = function* (): Generator<Buffer> {
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const bytes = readSync(layer.fd, chunk, 0, CHUNK_BYTES, packed);
      if (bytes === 0) return;
      packed += bytes;
      if (packed > layer.sizeBytes) throw badLayer('it is longer than the manifest says');
      const part = chunk.subarray(0, bytes);
      packedHash.update(part);
      options.onRead(bytes);
      yield part;
    }
  };
  const take = (chunk: Buffer): void => {
    plain += chunk.length;
    if (plain > options.maxBytes) throw limitExceeded('layers unpacked, bytes', options.maxBytes);
    plainHash.update(chunk);
    options.onChunk(chunk);
  };
  if (layer.compression === 'none') for (const chunk of source()) take(chunk);
  else for await (const chunk of unpacked(layer.compression, source())) take(chunk as Buffer);
  // An unpacker may stop before the end of its input.
  for (const _ of source());
  if (packed !== layer.sizeBytes) throw badLayer('it is shorter than the manifest says');
  check('the layer', layer.digest, packedHash);
  check('the unpacked layer', layer.diffId, plainHash);
  return plain;
}

function check(what: string, wanted: string, hash: Hash): void {
  const found = `${wanted.split(':')[0]}:${hash.digest('hex')}`;
  if (found !== wanted) throw badDigest(what, wanted, found);
}

function hashOf(digest: string): Hash {
  const algorithm = digest.split(':')[0];
  if (algorithm !== 'sha256' && algorithm !== 'sha512')
    throw badLayer(`its digest is of an unknown kind: ${algorithm}`);
  return createHash(algorithm);
}

async function* unpacked(compression: 'gzip' | 'zstd', source: Iterable<Buffer>): AsyncGenerator<Buffer> {
  const { input, output, finished } = compression === 'gzip' ? gunzip() : unzstd();
  let failure: Error | undefined;
  pipeline(streams.Readable.from(source, { highWaterMark: 1 }), input, (error) => {
    // The output ends early when its reader fails; that failure is the one that counts.
    if (error != null) {
      failure ??= error;
      output.destroy(error);
    }
  });
  try {
    for await (const chunk of output) yield chunk as Buffer;
    await finished;
  } catch (error) {
    const cause = failure ?? error;
    if (cause instanceof Error && 'reason' in cause) throw cause;
    throw badLayer(
      `it cannot be unpacked (${compression}: ${cause instanceof Error ? cause.message : String(cause)})`,
    );
  } finally {
    input.destroy();
    output.destroy();
  }
}

interface Unpacker {
  readonly input: Duplex | (NodeJS.WritableStream & { destroy(): void });
  readonly output: Readable;
  readonly finished: Promise<void>;
}

function gunzip(): Unpacker {
  const stream = createGunzip({ chunkSize: CHUNK_BYTES });
  return { input: stream, output: stream, finished: Promise.resolve() };
}

function unzstd(): Unpacker {
  const child = spawn('zstd', ['-d', '-c', '-q', `--memory=${ZSTD_MEMORY_MIB}MB`], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let words = '';
  child.stderr.on('data', (data: Buffer) => {
    words = (words + data.toString('latin1')).slice(-500);
  });
  const finished = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(words.trim() || `exit code ${code}`)),
    );
  });
  finished.catch(() => undefined);
  return { input: child.stdin as unknown as Unpacker['input'], output: child.stdout, finished };
}
