import { planRemoveImages, type RemovedImage, removeImage } from '@mvm/image-store';
import type { PlanView } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { renderDocument } from '../format/documents.js';
import { completeWith, teach } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { printPlans } from '../plan/print-plans.js';
import { addStateDirOption, storeRoot } from './image-options.js';

/** `mvm image remove`. */
export const imageRemove: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<name...>', 'names of images');
    addDryRunOption(command);
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
    const names = invocation.operands(0);
    if (isDryRun(invocation)) {
      const plans = (await planRemoveImages(root, names)).map((removed) => ({
        name: removed.name,
        outcome: 'would be removed',
        plan: planOf(removed),
        identity: { ...removed },
      }));
      await printPlans(context, invocation, 'Image', plans);
      return;
    }
    const removed: RemovedImage[] = [];
    for (const name of names) {
      const result = await removeImage(root, name);
      removed.push(result);
      const files = result.deleted.length === 0 ? '; its files stay, another name shares them' : '';
      if (invocation.format === 'table') context.stdout.write(`${name} removed${files}\n`);
      if (invocation.format === 'name') context.stdout.write(`${name}\n`);
    }
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      context.stdout.write(await renderDocument('ImageRemovalList', { items: removed }, invocation.format));
    }
  },
};

function planOf({ name, deleted }: RemovedImage): PlanView {
  return {
    operation: 'image_remove',
    on_failure: 'finish',
    steps: [
      { kind: 'image.unname', object: name, what: 'forget the name', args: { name } },
      ...deleted.map((digest) => ({
        kind: 'image.delete',
        object: digest,
        what: 'delete its files: no name refers to them',
        args: { digest },
      })),
    ],
    notes: deleted.length === 0 ? ['its files stay, another name shares them'] : [],
  };
}
