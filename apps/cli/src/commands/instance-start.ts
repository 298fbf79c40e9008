import { parseInstanceAddress } from '../address/address.js';
import type { CommandModule } from '../command.js';
import { completeWith, teach } from '../help.js';
import { addOperationOptions, operate } from './operate.js';

/** `mvm instance start`. */
export const instanceStart: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<instance...>', 'addresses, <tenant>/<pool>/<instance>');
    addOperationOptions(command);
    completeWith(command, 'instance');
    teach(
      command,
      'Returns when the virtual machine runs. Also ends the time for which a stopped instance is left alone.',
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
    await operate(context, invocation, invocation.operands(0).map(parseInstanceAddress), {
      doing: 'starting',
      done: 'started',
      call: (agentd, params, options, mode) => agentd.startInstance({ params, query: mode }, options),
    });
  },
};
