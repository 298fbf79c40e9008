import { readSecrets } from '@mvm/secrets-store';
import type { CommandModule } from '../command.js';
import { addListOptions } from '../format/list-options.js';
import { printList } from '../format/print.js';
import { addHelp, completeWith } from '../help.js';
import { addStateDirOption } from './image-options.js';
import { secretsFile } from './secret-options.js';

/** `mvm secret list`. */
export const secretList: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<tenant>', 'the tenant');
    addStateDirOption(command);
    addListOptions(command);
    completeWith(command, 'tenant');
    addHelp(command, 'Names and sizes; no value is ever printed.', [
      ['sudo mvm secret list acme', 'Names for a pool’s secret_scopes'],
    ]);
  },
  async run(context, invocation) {
    const secrets = await readSecrets(await secretsFile(context, invocation));
    const items = [...secrets]
      .map(([name, value]) => ({ name, bytes: Buffer.byteLength(value) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    await printList(context, invocation, {
      kind: 'Secret',
      items,
      columns: [
        { header: 'NAME', cell: ({ name }) => name },
        { header: 'BYTES', cell: ({ bytes }) => String(bytes), align: 'right' },
      ],
      name: ({ name }) => name,
      empty: 'no secrets',
    });
  },
};
