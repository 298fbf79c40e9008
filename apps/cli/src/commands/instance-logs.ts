import { InvalidArgumentError, Option } from 'commander';
import { formatAddress } from '../address/address.js';
import { resolveInstance } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import { addHelp, completeWith } from '../help.js';
import { createLogPrinter } from '../logs/log-printer.js';
import { readLog } from '../logs/read-log.js';

/** `mvm instance logs`. */
export const instanceLogs: CommandModule = {
  formats: [],
  configure(command) {
    command
      .argument('<instance>', 'address, <tenant>/<pool>/<instance>')
      .option('-f, --follow', 'keep printing new output, until the instance stops')
      .addOption(
        new Option('--stream <stream>', "the guest's console, or the output of its VMM")
          .choices(['console', 'vmm'])
          .default('console'),
      )
      .addOption(new Option('-n, --tail <lines>', 'only the last lines').argParser(parseLines))
      .option('--raw', 'print every byte unchanged, including control sequences');
    completeWith(command, 'instance');
    addHelp(
      command,
      'A guest can write any bytes. Control sequences are removed, also into a pipe, which may end in a terminal.\n--raw prints every byte unchanged.',
      [
        ['mvm instance logs acme/web/i-0a1b2c3d', 'The whole console'],
        ['mvm instance logs -f -n 20 acme/web/i-0a1b2c3d', 'The last 20 lines and what follows'],
        ['mvm instance logs --stream vmm acme/web/i-0a1b2c3d', 'Why a virtual machine did not start'],
      ],
    );
  },
  async run(context, invocation) {
    const address = await resolveInstance(context, invocation.operand(0));
    const printer = createLogPrinter(context.stdout, invocation.flag('raw'));
    const stream = invocation.text('stream') === 'vmm' ? 'vmm' : 'console';
    let isEmpty = true;
    const ended = await readLog(context, {
      address,
      stream,
      tailLines: invocation.number('tail'),
      follow: invocation.flag('follow'),
      onBytes: (bytes) => {
        isEmpty = false;
        printer.print(bytes);
      },
    });
    printer.end();
    if (isEmpty && invocation.number('tail') !== 0) context.say(EMPTY[stream]);
    if (ended !== undefined) context.say(`${formatAddress(ended)} is ${ended.status}`);
  },
};

const EMPTY = {
  console:
    '(nothing was written to the console; a guest that boots and says nothing has no console= in its --kernel-args: mvm image add)',
  vmm: '(the VMM has said nothing, as it mostly does)',
} as const;

function parseLines(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Use a number of lines, 0 or more.');
  return Number(text);
}
