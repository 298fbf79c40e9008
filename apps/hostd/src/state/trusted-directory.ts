import { lstat, mkdir, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { errnoOf, fromFileError } from './fs-error.js';

const WRITABLE_FOR_OTHERS = 0o022;
const STICKY = 0o1000;

/** What of a directory decides whether another user can change what is in it. */
export interface DirectoryOwner {
  readonly uid: number;
  readonly mode: number;
  readonly isLink: boolean;
}

/**
 * Why a directory, or a link on the way to it, cannot be trusted, or null. `allowSticky`: others may make files in it, and
 * cannot change root's, as in /tmp. Pure. Source: sshd(8), StrictModes; mode bits of inode(7).
 */
export function findDistrust({ uid, mode, isLink }: DirectoryOwner, allowSticky: boolean): string | null {
  if (uid !== 0) return `belongs to user ${uid} instead of root`;
  if (isLink || (mode & WRITABLE_FOR_OTHERS) === 0) return null;
  if (allowSticky && (mode & STICKY) !== 0) return null;
  return `can be written by others than root (mode 0${(mode & 0o7777).toString(8)})`;
}

/** A path and all that is above it, the path first. */
function withAncestors(path: string): string[] {
  const above = dirname(path);
  return above === path ? [path] : [path, ...withAncestors(above)];
}

export interface Trust {
  /** The directory itself may have the sticky bit and be writable, as /tmp. */
  readonly shared?: boolean | undefined;
}

/**
 * A directory that root's files are put into, and every directory above it, can be changed by root alone: they belong to
 * root, and others may write at most to ancestors with the sticky bit. What does not exist yet is not looked at. Throws `failed_precondition`, reason `state.unsafe_directory`.
 */
export async function requireTrustedDirectory(path: string, { shared = false }: Trust = {}): Promise<void> {
  const real = await realpath(path).catch(() => path);
  for (const each of new Set([...withAncestors(path), ...withAncestors(real)])) {
    const owner = await lstat(each).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return null;
      throw fromFileError(error, `cannot look at ${each}`);
    });
    if (owner === null) continue;
    const { uid, mode } = owner;
    const allowSticky = shared || (each !== path && each !== real);
    const why = findDistrust({ uid, mode, isLink: owner.isSymbolicLink() }, allowSticky);
    if (why === null) continue;
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'state.unsafe_directory',
      message: `${path} is not safe for root’s files: ${each} ${why}`,
      hint: `Look at who made it and what is in it, then: chown root:root ${each} && chmod go-w ${each}. Or give hostd another directory.`,
      details: { path: each },
    });
  }
}

/**
 * Make a directory (and its missing parents) that root's files are put into; one that exists is left as it is. It is looked
 * at before and after: where others may make files, another user may have been quicker to make it. `make` is for tests.
 * Throws as `requireTrustedDirectory`, and what `fromFileError` makes of a failure.
 */
export async function makeTrustedDirectory(
  path: string,
  { mode, ...trust }: Trust & { readonly mode: number },
  make: () => Promise<unknown> = () => mkdir(path, { recursive: true, mode }),
): Promise<void> {
  await requireTrustedDirectory(path, trust);
  await make().catch((error: unknown) => {
    throw fromFileError(error, `cannot make ${path}`);
  });
  await requireTrustedDirectory(path, trust);
}
