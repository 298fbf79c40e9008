import {
  addDistributionKernel,
  addKernel,
  kernelsDir,
  type StoredKernel,
  setDefaultKernel,
} from '@mvm/guest-boot';
import { CodedError, STATE_DIR } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { renderDocument } from '../format/documents.js';
import { kernelView } from '../format/kernel-view.js';
import { addHelp, completeWith } from '../help.js';
import { addStateDirOption, chosenStateDir } from './image-options.js';

/** `mvm kernel add`. */
export const kernelAdd: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command
      .argument('[name]', "name of the kernel (default: the distribution's kernel, named after its package)")
      .option('--kernel <file>', 'Linux kernel: an ELF file (vmlinux), or a bzImage (vmlinuz)')
      .option('--modules <dir>', 'its modules, e.g. /lib/modules/<version>')
      .option('--default', 'make it the kernel that imports use');
    addStateDirOption(command);
    completeWith(command, 'none');
    addHelp(
      command,
      "Needs root. Without a name, downloads the distribution's kernel for virtual machines through apt; nothing is\ninstalled on the host. With --default, later imports use it. Existing images keep their kernel.",
      [
        ['sudo mvm kernel add', "The distribution's kernel; the first one becomes the default"],
        ['sudo mvm kernel add own-6.6 --kernel vmlinux --modules ./modules', 'A kernel of your own'],
      ],
    );
  },
  async run(context, invocation) {
    const root = kernelsDir(chosenStateDir(context, invocation) ?? STATE_DIR);
    const name = invocation.optionalOperand(0);
    const vmlinux = invocation.text('kernel');
    const modulesDir = invocation.text('modules');
    let kernel: StoredKernel;
    if (name === undefined && vmlinux === undefined && modulesDir === undefined) {
      kernel = await addDistributionKernel(root, (what) => context.say(what));
    } else if (name === undefined || vmlinux === undefined || modulesDir === undefined) {
      throw new CodedError({
        code: 'invalid_argument',
        reason: 'cli.usage',
        message: 'a kernel of your own needs a name, --kernel and --modules',
        hint: "leave all of them out to get the distribution's kernel",
      });
    } else kernel = await addKernel(root, name, { vmlinux, modulesDir, version: name });
    if (invocation.flag('default')) {
      await setDefaultKernel(root, kernel.name);
      kernel = { ...kernel, isDefault: true };
    }
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      context.stdout.write(await renderDocument('Kernel', kernelView(kernel), invocation.format));
    } else if (invocation.format === 'name') context.stdout.write(`${kernel.name}\n`);
    else context.stdout.write(`${kernel.name} ${kernel.version}${kernel.isDefault ? ', the default' : ''}\n`);
  },
};
