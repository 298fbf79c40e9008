import { constants } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { lockHandle } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';

/** A state directory that is ours until the lock is released or this process ends, however it ends. */
export interface StateLock {
  release(): Promise<void>;
}

function stateDirError(stateDir: string, cause: unknown): CodedError {
  const errno = cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? null) : null;
  return new CodedError({
    code: errno === 'EACCES' || errno === 'EPERM' ? 'permission_denied' : 'failed_precondition',
    reason: 'state.unusable',
    message: `cannot use the state directory ${stateDir}: ${errno ?? String(cause)}`,
    hint: `Make it for the user that runs mvm-agentd: install -d -o mvm -g mvm -m 0700 ${stateDir}`,
    details: { path: stateDir, errno },
    cause,
  });
}

/**
 * Make the state directory (0700) when it is missing in its parent, and take its lock. `failed_precondition`, reason
 * `agentd.already_running`, when another process has it.
 *
 * The kernel drops the lock when this process is gone, even by SIGKILL: see `lockHandle` of node-host.
 */
export async function lockStateDir(stateDir: string): Promise<StateLock> {
  let file: FileHandle;
  try {
    await mkdir(stateDir, { mode: 0o700 }).catch(ignoreExisting);
    file = await open(
      join(stateDir, 'agentd.lock'),
      constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
      0o600,
    );
  } catch (error) {
    throw stateDirError(stateDir, error);
  }
  try {
    await lockNow(file, stateDir);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { release: () => file.close() };
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

async function lockNow(file: FileHandle, stateDir: string): Promise<void> {
  const locked = await lockHandle(file, 0).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).syscall !== 'spawn flock') throw stateDirError(stateDir, error);
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'state.no_flock',
      message: `cannot run flock: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'Install util-linux, which brings flock.',
      cause: error,
    });
  });
  if (locked) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'agentd.already_running',
    message: `another mvm-agentd uses the state directory ${stateDir}`,
    hint: 'Stop it first (systemctl stop mvm-agentd), or give this one its own --state-dir and --socket.',
    details: { path: stateDir },
  });
}
