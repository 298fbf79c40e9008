import { currentDesired } from '../apply/current-desired.js';
import type { CommandModule } from '../command.js';
import { renderData } from '../format/documents.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm get`. */
export const get: CommandModule = {
  formats: ['yaml', 'json'],
  configure(command) {
    completeWith(command, 'none');
    addHelp(
      command,
      'Prints the desired state in force in the form that "mvm apply -f" takes, with all defaults filled in.',
      [
        ['mvm get > state.yaml', 'Read back what is wanted'],
        ["mvm get -o json | jq '.tenants[].pools[].desired_counts'", 'For scripts'],
      ],
    );
  },
  async run(context, { format }) {
    const { desired } = await currentDesired(context);
    context.stdout.write(await renderData(desired, format === 'json' ? 'json' : 'yaml'));
  },
};
