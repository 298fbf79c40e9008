import { resolveInstance } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import { addHelp, completeWith } from '../help.js';
import { createLogPrinter } from '../logs/log-printer.js';
import { readLog } from '../logs/read-log.js';

const TAIL_LINES = 25;

/** `mvm console`. */
export const consoleCommand: CommandModule = {
  formats: [],
  configure(command) {
    command.argument('<instance>', 'address, <tenant>/<pool>/<instance>');
    completeWith(command, 'instance');
    addHelp(
      command,
      'Shows the last lines of the serial console and follows it. It is read-only: a VMM writes the console to a bounded file,\nand nothing can be typed into it. For a shell: "mvm exec -it". Control sequences are removed.',
      [['mvm console acme/web/i-0a1b2c3d', 'Watch a guest boot']],
    );
  },
  async run(context, invocation) {
    const address = await resolveInstance(context, invocation.operand(0));
    const printer = createLogPrinter(context.stdout, false);
    await readLog(context, {
      address,
      stream: 'console',
      tailLines: TAIL_LINES,
      follow: true,
      onBytes: (bytes) => printer.print(bytes),
    });
    printer.end();
  },
};
