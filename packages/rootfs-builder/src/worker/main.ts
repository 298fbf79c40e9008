/**
 * The process that reads untrusted layers. It is started in namespaces of its own, with limits, and gets descriptors of
 * the layers and of the image to be; it opens no path, and gives up root before it reads the first byte of a layer.
 */
import { createInterface } from 'node:readline';
import { isCodedError } from '@mvm/protocol';
import { build } from './build.js';
import type { BuildJob } from './job.js';
import type { WorkerMessage } from './message.js';

function answer(message: WorkerMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** SAFETY: the order matters; with the user goes the right to change groups, and with it every capability. */
function dropPrivileges(id: number): void {
  process.setgroups?.([]);
  process.setgid?.(id);
  process.setuid?.(id);
  if (process.getuid?.() !== id || process.geteuid?.() !== id) throw new Error('the worker is still root');
}

async function readJob(): Promise<BuildJob> {
  for await (const line of createInterface({ input: process.stdin })) return JSON.parse(line) as BuildJob;
  throw new Error('no job');
}

try {
  const job = await readJob();
  if (job.runAs !== null) dropPrivileges(job.runAs);
  const built = await build(job, (progress) => answer({ kind: 'progress', ...progress }));
  answer({ kind: 'done', ...built });
} catch (error) {
  answer({ kind: 'failed', error: describe(error) });
  process.exitCode = 1;
}
process.stdin.destroy();

function describe(error: unknown): Extract<WorkerMessage, { kind: 'failed' }>['error'] {
  if (isCodedError(error)) {
    const { code, reason, message, hint } = error;
    return {
      code,
      reason,
      message,
      hint: hint ?? null,
      details: (error.details ?? {}) as Record<string, string>,
    };
  }
  const errno = (error as NodeJS.ErrnoException | null)?.code;
  if (errno === 'ENOSPC' || errno === 'EDQUOT' || errno === 'EFBIG') {
    return {
      code: 'resource_exhausted',
      reason: 'image.no_space',
      message: 'no space left for the root file system',
      hint: 'free some space (df -h shows where), or remove an image that is not needed: mvm image prune',
      details: {},
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: 'internal',
    reason: 'image.builder_failed',
    message: `the root file system cannot be built: ${message.slice(0, 1000)}`,
    hint: null,
    details: {},
  };
}
