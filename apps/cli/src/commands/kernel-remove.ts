import { kernelsDir, removeKernel } from '@mvm/guest-boot';
import { STATE_DIR } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { renderDocument } from '../format/documents.js';
import { addHelp, completeWith } from '../help.js';
import { addStateDirOption, chosenStateDir } from './image-options.js';

/** `mvm kernel remove`. */
export const kernelRemove: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<name...>', 'names of kernels');
    addStateDirOption(command);
    completeWith(command, 'none');
    addHelp(command, 'Needs root. Images keep the kernel that they were imported with.', [
      ['sudo mvm kernel remove debian-6.1.0-40-cloud-amd64', 'Remove a kernel that no import needs any more'],
    ]);
  },
  async run(context, invocation) {
    const root = kernelsDir(chosenStateDir(context, invocation) ?? STATE_DIR);
    const names = invocation.operands(0);
    for (const name of names) {
      await removeKernel(root, name);
      if (invocation.format === 'table') context.stdout.write(`${name} removed\n`);
      if (invocation.format === 'name') context.stdout.write(`${name}\n`);
    }
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      const items = names.map((name) => ({ name }));
      context.stdout.write(await renderDocument('KernelRemovalList', { items }, invocation.format));
    }
  },
};
