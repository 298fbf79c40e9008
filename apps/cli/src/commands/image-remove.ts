import { removeImage } from '@mvm/image-store';
import type { CommandModule } from '../command.js';
import { completeWith, teach } from '../help.js';
import { addStateDirOption, storeRoot } from './image-options.js';

/** `mvm image remove`. */
export const imageRemove: CommandModule = {
  formats: [],
  configure(command) {
    command.argument('<name...>', 'names of images');
    addStateDirOption(command);
    completeWith(command, 'image');
    teach(
      command,
      'Needs root. Instances that run keep their files until they stop; they cannot be started again without the image.',
      [['sudo mvm image remove debian-11', 'Remove an image and, when no other name shares it, its files']],
    );
  },
  async run(context, invocation) {
    const root = storeRoot(context, invocation);
    for (const name of invocation.operands(0)) {
      const { deleted } = await removeImage(root, name);
      const files = deleted.length === 0 ? '; its files stay, another name shares them' : '';
      context.stdout.write(`${name} removed${files}\n`);
    }
  },
};
