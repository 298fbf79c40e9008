import { parseInstanceAddress } from '../address/address.js';
import type { CommandModule } from '../command.js';
import { completeWith, teach } from '../help.js';
import { addHoldOption, holdQuery, sayHolds } from './hold-option.js';
import { addOperationOptions, operate } from './operate.js';

/** `mvm instance wake`. */
export const instanceWake: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<instance...>', 'addresses, <tenant>/<pool>/<instance>');
    addHoldOption(command);
    addOperationOptions(command);
    completeWith(command, 'instance');
    teach(
      command,
      'A sleeping instance continues where it was put to sleep, with the same address. agentd then leaves it\nrunning for the time of --hold, beside those that its pool wants. A stopped instance is started instead: mvm instance start.',
      [
        ['mvm instance wake acme/web/i-0a1b2c3d', 'Wake one instance'],
        [
          'mvm instance list acme -o json | jq -r \'.items[] | select(.status == "sleeping") | "\\(.tenant_id)/\\(.pool_id)/\\(.instance_id)"\' | xargs mvm instance wake',
          'Wake all of a tenant that sleep',
        ],
      ],
    );
  },
  async run(context, invocation) {
    const query = holdQuery(invocation);
    const results = await operate(context, invocation, invocation.operands(0).map(parseInstanceAddress), {
      doing: 'waking',
      done: 'woken',
      call: (agentd, params, options, mode) =>
        agentd.wakeInstance({ params, query: { ...query, ...mode } }, options),
    });
    sayHolds(context, results, { state: 'running', undo: 'stop' });
  },
};
