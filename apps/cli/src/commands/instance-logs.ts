import { InvalidArgumentError, Option } from 'commander';
import { formatAddress, type InstanceAddress, nameOf, parsePoolAddress } from '../address/address.js';
import { instancesOf, resolveInstances } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { usageError } from '../errors/usage-error.js';
import { addHelp, completeWith } from '../help.js';
import type { Invocation } from '../invocation.js';
import { createLogPrinter, type LogPrinter } from '../logs/log-printer.js';
import { prefixed } from '../logs/prefixed.js';
import { readLog } from '../logs/read-log.js';

/** `mvm instance logs`. */
export const instanceLogs: CommandModule = {
  formats: [],
  configure(command) {
    command
      .argument('<instance...>', 'instances, or pools: <tenant>/<pool>')
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
        [
          'mvm instance logs -f -n 5 acme/web',
          'All instances of a pool, each line with the name of its instance',
        ],
        ['mvm instance logs --stream vmm acme/web/i-0a1b2c3d', 'Why a virtual machine did not start'],
      ],
    );
  },
  async run(context, invocation) {
    const addresses = await resolveMany(context, invocation.operands(0));
    const isOne = addresses.length === 1;
    const raw = invocation.flag('raw');
    if (raw && !isOne) throw usageError('--raw is for one instance', 'name one, or leave --raw out');
    const names = addresses.map((address) => nameOf(address));
    const width = Math.max(...names.map((name) => name.length));
    await Promise.all(
      addresses.map(async (address, index) => {
        const stdout = isOne ? context.stdout : prefixed(context.stdout, `${names[index]?.padEnd(width)} | `);
        await printOne(context, invocation, address, createLogPrinter(stdout, raw));
      }),
    );
  },
};

async function printOne(
  context: CliContext,
  invocation: Invocation,
  address: InstanceAddress,
  printer: LogPrinter,
): Promise<void> {
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
}

/** The instances that the texts name, those of a pool included; each once. */
async function resolveMany(context: CliContext, texts: readonly string[]): Promise<InstanceAddress[]> {
  const found = await Promise.all(
    texts.map((text) =>
      text.split('/').length === 2
        ? instancesOf(context, parsePoolAddress(text))
        : resolveInstances(context, [text]),
    ),
  );
  return [...new Map(found.flat().map((address) => [nameOf(address), address])).values()];
}

const EMPTY = {
  console:
    '(nothing was written to the console; a guest that boots and says nothing has no console= in its --kernel-args: mvm image add)',
  vmm: '(the VMM has said nothing, as it mostly does)',
} as const;

function parseLines(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Use a number of lines, 0 or more.');
  return Number(text);
}
