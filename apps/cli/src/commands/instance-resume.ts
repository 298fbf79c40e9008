import { parseInstanceAddress } from '../address/address.js';
import type { CommandModule } from '../command.js';
import { completeWith, teach } from '../help.js';
import { addHoldOption, holdQuery, sayHolds } from './hold-option.js';
import { addOperationOptions, operate } from './operate.js';

/** `mvm instance resume`. */
export const instanceResume: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<instance...>', 'addresses, <tenant>/<pool>/<instance>');
    addHoldOption(command);
    addOperationOptions(command);
    completeWith(command, 'instance');
    teach(
      command,
      'agentd then leaves it running for the time of --hold, beside those that its pool wants. A sleeping instance is woken instead: mvm instance wake.',
      [
        ['mvm instance resume acme/web/i-0a1b2c3d', 'Let one warm instance run on'],
        ['mvm instance resume acme/web/i-0a1b2c3d acme/web/i-4e5f6071 -o json', 'Two, for scripts'],
      ],
    );
  },
  async run(context, invocation) {
    const query = holdQuery(invocation);
    const results = await operate(context, invocation, invocation.operands(0).map(parseInstanceAddress), {
      doing: 'resuming',
      done: 'resumed',
      call: (agentd, params, options, mode) =>
        agentd.resumeInstance({ params, query: { ...query, ...mode } }, options),
    });
    sayHolds(context, results, { state: 'running', undo: 'stop' });
  },
};
