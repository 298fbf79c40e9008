import { dirname, join } from 'node:path';
import * as files from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';

function stateError(action: string, path: string, cause: unknown): CodedError {
  const errno = cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? null) : null;
  return new CodedError({
    code: errno === 'ENOSPC' || errno === 'EDQUOT' ? 'resource_exhausted' : 'unavailable',
    reason: 'state.io_failed',
    message: `cannot ${action} ${path}: ${errno ?? String(cause)}`,
    hint: 'Check that the state directory exists, belongs to the user that runs mvm-agentd, and has free space.',
    details: { path, errno },
    cause,
  });
}

/** A desired state is some kilobytes; one with hundreds of pools some hundred. */
const RESERVE = [
  { bytes: 4_096, count: 8 },
  { bytes: 65_536, count: 4 },
  { bytes: 524_288, count: 1 },
];
const reserves = new Map<string, files.SpaceReserve>();

/** The reserve of a directory, so that less can be wanted also when the disk is full. */
function reserveOf(dir: string): files.SpaceReserve {
  const known = reserves.get(dir);
  if (known !== undefined) return known;
  const made = files.createSpaceReserve(join(dir, 'reserve'), RESERVE);
  reserves.set(dir, made);
  void made.fill();
  return made;
}

/**
 * Replace a file of the state; see `SpaceReserve` of node-host: a full disk does not keep agentd from it. Throws
 * `state.io_failed`.
 */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  await reserveOf(dirname(path))
    .writeFileAtomic(path, text)
    .catch((error: unknown) => {
      throw stateError('write', path, error);
    });
}

/** The text of a file, or null when there is none. Throws `state.io_failed`. */
export async function readIfThere(path: string): Promise<string | null> {
  return files.readFileIfThere(path).catch((error: unknown) => {
    throw stateError('read', path, error);
  });
}
