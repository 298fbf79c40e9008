import { parseInstanceAddress } from '../address/address.js';
import type { CommandModule } from '../command.js';
import { completeWith, teach } from '../help.js';
import { addHoldOption, holdQuery, sayHolds } from './hold-option.js';
import { addOperationOptions, operate } from './operate.js';

/** `mvm instance start`. */
export const instanceStart: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<instance...>', 'addresses, <tenant>/<pool>/<instance>');
    addHoldOption(command);
    addOperationOptions(command);
    completeWith(command, 'instance');
    teach(
      command,
      'Returns when the virtual machine runs. agentd then leaves it running\nfor the time of --hold, beside those that its pool wants. An instance that runs already is no error: its time begins anew.',
      [
        ['mvm instance start acme/web/i-0a1b2c3d', 'Start one instance'],
        [
          'mvm instance start acme/web/i-0a1b2c3d && mvm instance logs -f acme/web/i-0a1b2c3d',
          'And watch it boot',
        ],
      ],
    );
  },
  async run(context, invocation) {
    const query = holdQuery(invocation);
    const results = await operate(context, invocation, invocation.operands(0).map(parseInstanceAddress), {
      doing: 'starting',
      done: 'started',
      call: (agentd, params, options, mode) =>
        agentd.startInstance({ params, query: { ...query, ...mode } }, options),
    });
    sayHolds(context, results, { state: 'running', undo: 'stop' });
  },
};
