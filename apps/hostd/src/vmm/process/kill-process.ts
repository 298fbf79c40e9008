import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@mvm/protocol';
import { errnoOf } from '../../state/fs-error.js';
import { isAlive, type ProcessIdentity } from './process-identity.js';

const GONE_WITHIN_MS = 10_000;
const LOOK_AGAIN_MS = 5;

/**
 * Ends a process with SIGKILL and waits until it is gone; nothing when it is gone already. Throws `internal`, reason
 * `vmm.unkillable`, after 10 s.
 */
export async function killProcess(process_: ProcessIdentity): Promise<void> {
  const deadline = performance.now() + GONE_WITHIN_MS;
  while (await isAlive(process_)) {
    try {
      // PRIVILEGE: the VMM runs as another user. SAFETY: the start time has just been compared with the recorded one.
      process.kill(process_.pid, 'SIGKILL');
    } catch (error) {
      if (errnoOf(error) !== 'ESRCH') throw error;
    }
    if (performance.now() > deadline) {
      throw new CodedError({
        code: 'internal',
        reason: 'vmm.unkillable',
        message: `the VMM (pid ${process_.pid}) does not end`,
        hint: 'A process that ignores SIGKILL waits for the kernel: look for disk errors in the kernel log.',
        details: { pid: process_.pid },
      });
    }
    await sleep(LOOK_AGAIN_MS);
  }
}
