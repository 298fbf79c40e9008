import { CodedError } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { desiredStateFields, type Field } from '../explain/fields.js';
import { printList } from '../format/print.js';
import { renderFields, renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm explain`. */
export const explain: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('[field]', 'a path such as tenants.pools.sleep_policy, or its last names');
    completeWith(command, 'none');
    addHelp(
      command,
      'Explains the fields of a desired state: what they mean, their type, bounds and default, and the fields in them.',
      [
        ['mvm explain', 'The fields of the whole document'],
        ['mvm explain sleep_policy', 'One field, and the fields in it'],
        ['mvm explain -o name', 'All paths'],
      ],
    );
  },
  async run(context, invocation) {
    const all = desiredStateFields();
    const asked = invocation.optionalOperand(0);
    const isTable = invocation.format === 'table';
    if (!isTable) {
      const items = asked === undefined ? all : all.filter(({ path }) => isIn(path, find(all, asked).path));
      await printList(context, invocation, {
        kind: 'Field',
        items,
        columns: [],
        name: ({ path }) => path,
        empty: '',
      });
      return;
    }
    const field = asked === undefined ? undefined : find(all, asked);
    if (field !== undefined) {
      context.stdout.write(
        renderFields([
          ['Field', field.path],
          ['Type', field.type],
          ['Required', field.required ? 'yes' : 'no'],
          ['Default', field.default],
          ['Meaning', field.meaning],
        ]),
      );
    }
    const within = all.filter(({ path }) => isDirectlyIn(path, field?.path));
    if (within.length === 0) return;
    if (field !== undefined) context.stdout.write('\n');
    context.stdout.write(renderTable(within, COLUMNS, false));
  },
};

const COLUMNS = [
  { header: 'FIELD', cell: ({ path }: Field) => path.slice(path.lastIndexOf('.') + 1) },
  { header: 'TYPE', cell: ({ type, required }: Field) => (required ? `${type}, required` : type) },
  { header: 'MEANING', cell: ({ meaning }: Field) => meaning },
];

/** The field with this path, or the one whose path ends so; the first of several that are alike. */
function find(all: readonly Field[], asked: string): Field {
  const text = asked.replace(/\[\d*\]/g, '').replace(/^\.|\.$/g, '');
  const exact = all.find(({ path }) => path === text);
  const ending = all.filter(({ path }) => path.endsWith(`.${text}`));
  const found = exact ?? (ending.length === 1 ? ending[0] : undefined);
  if (found !== undefined) return found;
  if (ending.length > 1) {
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'explain.ambiguous',
      message: `${text} can be ${ending.map(({ path }) => path).join(', ')}`,
      hint: 'give more of the path',
    });
  }
  throw new CodedError({
    code: 'not_found',
    reason: 'explain.unknown_field',
    message: `a desired state has no field ${JSON.stringify(text.slice(0, 100))}`,
    hint: 'mvm explain -o name lists all of them',
  });
}

function isIn(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}.`);
}

function isDirectlyIn(path: string, parent: string | undefined): boolean {
  const rest =
    parent === undefined ? path : path.startsWith(`${parent}.`) ? path.slice(parent.length + 1) : null;
  return rest !== null && !rest.includes('.');
}
