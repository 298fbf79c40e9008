import { parseInstanceAddress } from '../address/address.js';
import type { CommandModule } from '../command.js';
import { completeWith, teach } from '../help.js';
import { addHoldOption, holdQuery, sayHolds } from './hold-option.js';
import { addOperationOptions, operate } from './operate.js';

/** `mvm instance warm`. */
export const instanceWarm: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<instance...>', 'addresses, <tenant>/<pool>/<instance>');
    addHoldOption(command);
    addOperationOptions(command);
    completeWith(command, 'instance');
    teach(
      command,
      'A warm instance keeps its memory but takes no CPU time, and runs on at once with "mvm instance resume".\nTo free its memory too, put it to sleep: mvm instance sleep.',
      [
        ['mvm instance warm acme/web/i-0a1b2c3d', 'Stop the vCPUs of one instance'],
        ['mvm instance warm --hold 1h acme/web/i-0a1b2c3d', 'Leave it so for an hour'],
      ],
    );
  },
  async run(context, invocation) {
    const query = holdQuery(invocation);
    const results = await operate(context, invocation, invocation.operands(0).map(parseInstanceAddress), {
      doing: 'warming',
      done: 'warm',
      call: (agentd, params, options, mode) =>
        agentd.warmInstance({ params, query: { ...query, ...mode } }, options),
    });
    sayHolds(context, results, { state: 'warm', undo: 'resume' });
  },
};
