import { type AddedImage, addImage, planAddImage } from '@mvm/image-store';
import type { PlanView } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { formatBytes } from '../format/bytes.js';
import { renderDocument } from '../format/documents.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { printPlans } from '../plan/print-plans.js';
import type { Progress } from '../progress/progress.js';
import { addStateDirOption, storeRoot } from './image-options.js';

const PATIENCE_MS = 1000;

/** `mvm image add`. */
export const imageAdd: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command
      .argument('<name>', 'name that a pool refers to it by')
      .requiredOption('--kernel <file>', 'Linux kernel: bzImage, ELF or arm64 Image')
      .requiredOption('--rootfs <file>', 'root file system: an ext4 image; instances share it read-only')
      .option('--initrd <file>', 'initial RAM disk')
      .option('--kernel-args <text>', 'kernel command line that the image needs', '');
    addDryRunOption(command);
    addStateDirOption(command);
    completeWith(command, 'none');
    addHelp(
      command,
      'Copies the files into the image store and names them. Needs root: images decide what runs.\nRepeating it changes nothing. Other files under the same name make a new version: pools that name it boot\nit from their next start on, and what runs, is warm or sleeps keeps the old one.',
      [
        [
          'sudo mvm image add debian-12 --kernel vmlinuz --initrd initrd.img --rootfs rootfs.ext4 --kernel-args "console=ttyS0"',
          'Register an image',
        ],
        [
          'mvm image add demo --kernel vmlinuz --rootfs rootfs.ext4 --dry-run',
          'Check the files, and see whether the name would mean something else',
        ],
        [
          'mvm image add demo --kernel vmlinuz --rootfs rootfs.ext4 -o json | jq -r .digest',
          'Get its digest, to pin it',
        ],
      ],
    );
  },
  async run(context, invocation) {
    const name = invocation.operand(0);
    const start = context.monotonicMs();
    let progress: Promise<Progress> | undefined;
    const dryRun = isDryRun(invocation);
    let added: AddedImage;
    try {
      added = await (dryRun ? planAddImage : addImage)(
        storeRoot(context, invocation),
        {
          name,
          kernel: invocation.text('kernel') ?? '',
          initrd: invocation.text('initrd'),
          rootfs: invocation.text('rootfs') ?? '',
          kernelArgs: invocation.text('kernelArgs') ?? '',
        },
        {
          signal: context.signal,
          onProgress: ({ copiedBytes, totalBytes }) => {
            if (context.monotonicMs() - start < PATIENCE_MS) return;
            const percent = Math.floor((100 * copiedBytes) / Math.max(1, totalBytes));
            const text = `${dryRun ? 'reading' : 'copying'} ${name}: ${context.stderr.isTty ? percent : percent - (percent % 10)} %`;
            progress ??= context.progress(text);
            void progress.then((shown) => shown.update(text));
          },
        },
      );
    } finally {
      (await progress)?.done();
    }
    const { digest, sizeBytes, outcome } = added;
    if (dryRun) {
      const identity = { name, digest, size_bytes: sizeBytes, outcome };
      const plan = planOf(added);
      await printPlans(context, invocation, 'Image', [
        { name, outcome: `would be ${outcome}`, plan, identity },
      ]);
      return;
    }
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      const value = { name, digest, size_bytes: sizeBytes, outcome };
      context.stdout.write(await renderDocument('Image', value, invocation.format));
    } else if (invocation.format === 'name') {
      context.stdout.write(`${name}@${digest}\n`);
    } else {
      context.stdout.write(`${name} ${outcome}: ${digest}, ${formatBytes(sizeBytes)}\n`);
      if (outcome === 'replaced')
        context.say(
          'the next start boots it; to have one that runs replaced now: mvm instance stop --hold 1s',
        );
    }
  },
};

/** The steps of adding an image, as far as they are not done already. */
function planOf({ name, digest, sizeBytes, outcome }: AddedImage): PlanView {
  const copied = outcome !== 'unchanged';
  return {
    operation: 'image_add',
    on_failure: copied ? 'undo' : null,
    steps: [
      ...(copied
        ? [
            {
              kind: 'image.store',
              object: digest,
              what: `keep ${formatBytes(sizeBytes)} of files under their digest, unless they are there`,
              args: { digest, size_bytes: sizeBytes },
            },
          ]
        : []),
      ...(copied && outcome !== 'repaired'
        ? [{ kind: 'image.name', object: name, what: 'point the name at them', args: { name, digest } }]
        : []),
    ],
    notes: [],
  };
}
