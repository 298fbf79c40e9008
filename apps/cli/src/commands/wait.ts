import { Option } from 'commander';
import { currentDesired } from '../apply/current-desired.js';
import type { CommandModule } from '../command.js';
import { parseDuration } from '../format/duration.js';
import { addHelp, completeWith } from '../help.js';
import { waitForConvergence } from '../wait/wait-for-convergence.js';

const DEFAULT_TIMEOUT_MS = 120_000;

/** `mvm wait`. */
export const wait: CommandModule = {
  formats: [],
  configure(command) {
    command.addOption(
      new Option('--timeout <duration>', 'how long to wait')
        .argParser(parseDuration)
        .default(DEFAULT_TIMEOUT_MS, '2m'),
    );
    completeWith(command, 'none');
    addHelp(
      command,
      'Waits until the host is as desired, as "mvm apply --wait" does, with the same exit codes.',
      [['mvm wait --timeout 5m', 'After a reboot of the host, or after a change by another user']],
    );
  },
  async run(context, invocation) {
    const { revision } = await currentDesired(context);
    await waitForConvergence(context, revision, invocation.number('timeout') ?? DEFAULT_TIMEOUT_MS);
  },
};
