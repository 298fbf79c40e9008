import { CodedError, isCodedError } from '@mvm/protocol';

/** What a store operation was doing when the system refused; goes into the message. */
export interface StoreAction {
  /** In the infinitive, e.g. `copy the kernel`. */
  readonly doing: string;
  readonly path: string;
}

/**
 * Maps what the file system threw to a CodedError, once, for the whole package; a CodedError passes through.
 *
 * Codes: `resource_exhausted` (`image.no_space`), `permission_denied` (`image.permission_denied`),
 * `failed_precondition` (`image.read_only`), `aborted` (`image.busy`), `canceled` (`image.canceled`), else `internal` (`image.io`).
 */
export function toStoreError(error: unknown, action: StoreAction): CodedError {
  if (isCodedError(error)) return error;
  const errno = error instanceof Error && error.name === 'AbortError' ? 'ABORT_ERR' : errnoOf(error);
  const detail = error instanceof Error ? error.message : String(error);
  const base = { details: { path: action.path, errno: errno ?? null }, cause: error };
  const what = `cannot ${action.doing} (${action.path})`;
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new CodedError({
        ...base,
        code: 'resource_exhausted',
        reason: 'image.no_space',
        message: `${what}: no space left on the disk`,
        hint: 'free some space (df -h shows where) or remove an image that is not needed: mvm image remove <name>',
      });
    case 'EACCES':
    case 'EPERM':
      return new CodedError({
        ...base,
        code: 'permission_denied',
        reason: 'image.permission_denied',
        message: `${what}: permission denied`,
        hint: 'the image store belongs to root: run the command with sudo',
      });
    case 'EROFS':
      return new CodedError({
        ...base,
        code: 'failed_precondition',
        reason: 'image.read_only',
        message: `${what}: the file system is mounted read-only`,
        hint: 'mount it read-write, or choose another state directory',
      });
    case 'EAGAIN':
      return new CodedError({
        ...base,
        code: 'aborted',
        reason: 'image.busy',
        message: `${what}: another command changes the image store for a minute already`,
        hint: 'find that command (fuser shows it), or wait for its end, then repeat this one',
      });
    case 'ABORT_ERR':
      return new CodedError({
        ...base,
        code: 'canceled',
        reason: 'image.canceled',
        message: `${what}: cancelled; the store is as it was`,
      });
    default:
      return new CodedError({ ...base, code: 'internal', reason: 'image.io', message: `${what}: ${detail}` });
  }
}

/** The `code` of a Node system error (`ENOENT`, …), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' ? code : undefined;
}
