import { kernelsDir, listKernels } from '@mvm/guest-boot';
import { STATE_DIR } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { formatAgeOf } from '../format/age.js';
import { kernelView } from '../format/kernel-view.js';
import { addListOptions } from '../format/list-options.js';
import { printList } from '../format/print.js';
import { addHelp, completeWith } from '../help.js';
import { addStateDirOption, chosenStateDir } from './image-options.js';

/** `mvm kernel list`. */
export const kernelList: CommandModule = {
  formats: ['table', 'wide', 'json', 'yaml', 'name'],
  configure(command) {
    addStateDirOption(command);
    addListOptions(command);
    completeWith(command);
    addHelp(command, 'Reads the state directory, as root.', [
      ['sudo mvm kernel list', 'Kernels that images can be imported with; * marks the default'],
    ]);
  },
  async run(context, invocation) {
    const kernels = await listKernels(kernelsDir(chosenStateDir(context, invocation) ?? STATE_DIR));
    const now = context.nowMs();
    const wide = invocation.format === 'wide';
    await printList(context, invocation, {
      kind: 'Kernel',
      items: kernels.map(kernelView),
      columns: [
        { header: 'NAME', cell: (kernel) => kernel.name },
        { header: 'VERSION', cell: (kernel) => kernel.version },
        { header: 'DIGEST', cell: ({ digest }) => (wide ? digest : digest.slice(0, 19)) },
        { header: 'AGE', cell: (kernel) => formatAgeOf(kernel.added_at, now) },
        { header: 'DEFAULT', cell: (kernel) => (kernel.default ? '*' : '') },
      ],
      name: (kernel) => kernel.name,
      empty: 'no kernels; add one: sudo mvm kernel add',
    });
  },
};
