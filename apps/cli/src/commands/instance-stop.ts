import { parseInstanceAddress } from '../address/address.js';
import type { CommandModule } from '../command.js';
import { completeWith, teach } from '../help.js';
import { addHoldOption, holdQuery, sayHolds } from './hold-option.js';
import { addOperationOptions, operate } from './operate.js';

/** `mvm instance stop`. */
export const instanceStop: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<instance...>', 'addresses, <tenant>/<pool>/<instance>');
    addHoldOption(command);
    addOperationOptions(command);
    completeWith(command, 'instance');
    teach(
      command,
      'A stopped instance keeps its address and its data disk. Its place in the pool stays empty for the time of --hold;\nto have fewer instances for good, change the desired state: mvm apply --help.',
      [
        ['mvm instance stop acme/web/i-0a1b2c3d', 'Stop one instance for a quarter of an hour'],
        ['mvm instance stop --hold 8h acme/web/i-0a1b2c3d', 'Keep it stopped for the working day'],
        ['mvm instance list acme -o name | xargs mvm instance stop', "Stop all of a tenant's"],
      ],
    );
  },
  async run(context, invocation) {
    const query = holdQuery(invocation);
    const results = await operate(context, invocation, invocation.operands(0).map(parseInstanceAddress), {
      doing: 'stopping',
      done: 'stopped',
      call: (agentd, params, options, mode) =>
        agentd.stopInstance({ params, query: { ...query, ...mode } }, options),
    });
    sayHolds(context, results, { state: 'stopped', undo: 'start' });
  },
};
