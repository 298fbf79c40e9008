import { desiredStateSchema } from '@mvm/protocol/schemas';
import { changeColumns } from '../apply/change-columns.js';
import { currentDesired } from '../apply/current-desired.js';
import { diffDesired } from '../apply/diff-desired.js';
import { readDesiredState } from '../apply/read-document.js';
import type { CommandModule } from '../command.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { printList } from '../format/print.js';
import { addHelp, completeWith } from '../help.js';

/** As diff(1): there are differences. */
const DIFFERENT_EXIT_CODE = 1;

/** `mvm diff`. */
export const diff: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command.requiredOption('-f, --file <file>', 'YAML or JSON file, or - for standard input');
    completeWith(command, 'none');
    addHelp(
      command,
      'Compares the desired state in force with a file, field by field, and changes nothing. To see what agentd would do:\nmvm apply --dry-run. The exit code is 1 when they differ.',
      [['mvm diff -f state.yaml', 'What would "mvm apply -f state.yaml" change?']],
    );
  },
  async run(context, invocation) {
    const written = await readDesiredState(context, invocation.text('file') ?? '-');
    const { desired } = await currentDesired(context);
    const changes = diffDesired(desired, desiredStateSchema.parse(written));
    await printList(context, invocation, {
      kind: 'FieldChange',
      items: changes,
      columns: changeColumns,
      name: ({ object }) => object,
      empty: 'no differences',
    });
    if (changes.length > 0) throw new ReportedFailure(DIFFERENT_EXIT_CODE);
  },
};
