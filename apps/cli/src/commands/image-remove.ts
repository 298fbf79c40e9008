import { listImageUsers, planRemoveImages, type RemovedImage, removeImage } from '@mvm/image-store';
import { CodedError, type PlanView } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { renderDocument } from '../format/documents.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { printPlans } from '../plan/print-plans.js';
import { addStateDirOption, stateDir, storeRoot } from './image-options.js';

/** `mvm image remove`. */
export const imageRemove: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<name...>', 'names of images');
    command.option('--force', 'remove it although pools use it');
    addDryRunOption(command);
    addStateDirOption(command);
    completeWith(command, 'image');
    addHelp(
      command,
      'Needs root. Instances that run keep their files until they stop; they cannot be started again without the image.\nAn image that pools use is not removed unless --force is given.',
      [['sudo mvm image remove debian-11', 'Remove an image and, when no other name shares it, its files']],
    );
  },
  async run(context, invocation) {
    const root = storeRoot(context, invocation);
    const names = invocation.operands(0);
    if (!invocation.flag('force')) await refuseUsed(stateDir(context, invocation), names);
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

/** As many pools as the error names. */
const MAX_LISTED = 5;

async function refuseUsed(stateDir: string, names: readonly string[]): Promise<void> {
  const users = await listImageUsers(stateDir);
  for (const name of names) {
    const pools = users.filter(({ imageName }) => imageName === name).map(({ pool }) => pool);
    if (pools.length === 0) continue;
    const more = pools.length > MAX_LISTED ? ` and ${pools.length - MAX_LISTED} more` : '';
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'image.in_use',
      message: `the image ${name} is used by ${pools.slice(0, MAX_LISTED).join(', ')}${more}: their instances could not be started again`,
      hint: 'give those pools another image first (mvm apply), or remove it nevertheless with --force',
      details: { image: name, pools: pools.length },
    });
  }
}

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
