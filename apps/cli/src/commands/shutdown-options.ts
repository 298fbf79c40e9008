import { type Command, Option } from 'commander';
import { parseDuration } from '../format/duration.js';
import type { Invocation } from '../invocation.js';
import type { OperationInput } from './operate.js';

/** The options of operations before which a guest may shut down. */
export function addShutdownOptions(command: Command): void {
  command
    .addOption(new Option('--force', 'end the virtual machine at once'))
    .addOption(
      new Option('--time <duration>', "how long the guest may take to shut down (default: the pool's)")
        .argParser(parseDuration)
        .conflicts('force'),
    );
}

/** What the options are in the API's query; the guest's time is waited for too. */
export function shutdownInput(invocation: Invocation): OperationInput {
  const shutdownMs = invocation.number('time');
  return {
    query: {
      ...(invocation.flag('force') ? { force: true } : {}),
      ...(shutdownMs === undefined ? {} : { shutdown_timeout_secs: Math.ceil(shutdownMs / 1000) }),
    },
    extraMs: shutdownMs ?? 0,
  };
}
