import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CodedError } from '@mvm/protocol';
import { noProcesses } from '../system/spawn-error.js';

export type Compression = 'none' | 'lz4' | 'zstd';

const FORMAT = { lz4: ['--format=lz4', '-1'], zstd: ['--format=zstd', '-1', '-T1'] } as const;

/** `source` compressed; `none` passes it on unchanged. Errors: `failed_precondition`, reason `snapshot.compressor`. */
export function compress(kind: Compression, source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return kind === 'none' ? source : throughZstd(['-q', '-c', ...FORMAT[kind]], source);
}

/** The reverse of `compress`. A damaged stream ends in `failed_precondition`, reason `snapshot.compressor`. */
export function decompress(kind: Compression, source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return kind === 'none' ? source : throughZstd(['-q', '-d', '-c', ...FORMAT[kind].slice(0, 1)], source);
}

/**
 * Pipes a stream through the `zstd` program, which also does lz4. A process of its own keeps hostd's one thread free
 * and its memory flat, and is in the distribution; Node 20 has no zstd.
 */
async function* throughZstd(
  args: readonly string[],
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const child = spawn('zstd', args, { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env.PATH } });
  let stderr = '';
  const ended = new Promise<CodedError | null>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      resolve(noProcesses('zstd', error) ?? failed(args, error.message, error)),
    );
    child.once('close', (code, signal) =>
      resolve(code === 0 ? null : failed(args, stderr.trim() || `exit ${code ?? signal}`)),
    );
  });
  // Without a descriptor to spare there is not even a pipe, whatever the types say.
  if (child.stderr === undefined) throw await ended;
  child.stderr.on('data', (chunk: Buffer) => {
    if (stderr.length < 4096) stderr += chunk.toString('utf8');
  });
  // A failing source must end the compressor too, or its truncated output would look complete.
  let fed: unknown = null;
  const feeding = pipeline(source, child.stdin).catch((error: unknown) => {
    fed = error;
    child.kill('SIGKILL');
  });
  try {
    yield* child.stdout as Readable as AsyncIterable<Uint8Array>;
    await feeding;
    const problem = await ended;
    // EPIPE on our side is only the echo of the compressor's own failure.
    if (problem && (fed === null || isBrokenPipe(fed))) throw problem;
    if (fed !== null) throw fed;
  } finally {
    // Its end is reported only when all its output was read.
    child.stdout.destroy();
    child.kill('SIGKILL');
    await ended;
  }
}

function isBrokenPipe(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'EPIPE' || error.code === 'ERR_STREAM_PREMATURE_CLOSE')
  );
}

function failed(args: readonly string[], why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'snapshot.compressor',
    message: `zstd ${args.join(' ')}: ${why}`,
    hint: 'is the package zstd installed, and is the snapshot whole?',
    cause,
  });
}
