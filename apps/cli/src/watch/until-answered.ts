import { isCodedError } from '@mvm/protocol';
import type { CliContext } from '../context.js';
import { onOneLine } from '../format/control-characters.js';

const INTERVAL_MS = 1000;

/**
 * What `call` answers; while a daemon cannot be reached, it is called again every second, and that is said once: the daemon
 * may restart. Errors: all others of `call`, and the signal's.
 */
export async function untilAnswered<T>(context: CliContext, call: () => Promise<T>): Promise<T> {
  for (let lost = false; ; lost = true) {
    try {
      const value = await call();
      if (lost) context.say('connected again');
      return value;
    } catch (error) {
      if (context.signal.aborted) throw error;
      if (!isCodedError(error) || error.code !== 'unavailable') throw error;
      if (!lost) context.say(`${onOneLine(error.message)}; waiting for it`);
      await context.sleep(INTERVAL_MS);
    }
  }
}
