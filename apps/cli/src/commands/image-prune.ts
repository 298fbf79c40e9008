import { listImageUsers, type PrunedImages, pruneImages } from '@mvm/image-store';
import { STATE_DIR } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { renderDocument } from '../format/documents.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { printPlans } from '../plan/print-plans.js';
import { addStateDirOption, chosenStateDir, storeRoot } from './image-options.js';

/** `mvm image prune`. */
export const imagePrune: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.option('--all', 'also images that no pool names');
    addDryRunOption(command);
    addStateDirOption(command);
    completeWith(command);
    addHelp(
      command,
      'Needs root. Removes older versions of images that no pool boots or pins; instances that sleep keep what they need.',
      [
        ['sudo mvm image prune --dry-run', 'See what would go'],
        ['sudo mvm image prune --all', 'Keep only images that pools name'],
      ],
    );
  },
  async run(context, invocation) {
    const users = await listImageUsers(chosenStateDir(context, invocation) ?? STATE_DIR);
    const dryRun = isDryRun(invocation);
    const pruned = await pruneImages(storeRoot(context, invocation), {
      keepDigests: new Set(users.flatMap(({ digest }) => (digest === null ? [] : [digest]))),
      ...(invocation.flag('all') ? { keepNames: new Set(users.map(({ imageName }) => imageName)) } : {}),
      dryRun,
    });
    if (dryRun) {
      const plan = {
        operation: 'image_prune',
        on_failure: 'finish' as const,
        steps: stepsOf(pruned),
        notes: [],
      };
      await printPlans(context, invocation, 'Image', [
        { name: 'images', outcome: 'would be pruned', plan, identity: { ...pruned } },
      ]);
      return;
    }
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      context.stdout.write(await renderDocument('ImagePruning', { ...pruned }, invocation.format));
      return;
    }
    if (invocation.format === 'name') {
      for (const name of pruned.names) context.stdout.write(`${name}\n`);
      return;
    }
    for (const name of pruned.names) context.stdout.write(`${name} removed\n`);
    for (const digest of pruned.deleted) context.stdout.write(`${digest} deleted\n`);
    if (pruned.names.length + pruned.deleted.length === 0) context.say('nothing to remove');
  },
};

function stepsOf({ names, deleted }: PrunedImages) {
  return [
    ...names.map((name) => ({ kind: 'image.unname', object: name, what: 'forget the name', args: { name } })),
    ...deleted.map((digest) => ({
      kind: 'image.delete',
      object: digest,
      what: 'delete its files: no name refers to them',
      args: { digest },
    })),
  ];
}
