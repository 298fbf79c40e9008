import { Option } from 'commander';
import { resolveInstance } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { usageError } from '../errors/usage-error.js';
import { parseDetachKeys } from '../guest/detach-keys.js';
import { addEnvOption, environmentOf } from '../guest/env-option.js';
import { runInGuest } from '../guest/run-in-guest.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm exec`. */
export const exec: CommandModule = {
  formats: [],
  configure(command) {
    command
      .argument('<instance>', 'address, <tenant>/<pool>/<instance>')
      .argument('<command...>', 'the program in the guest, and its arguments')
      .option('-i, --interactive', 'pass stdin on to the command')
      .option('-t, --tty', 'give the command a terminal');
    addEnvOption(command);
    command
      .option('-w, --workdir <directory>', "directory in the guest (default: the image's)")
      .option('-u, --user <user>', "name or uid, with :group or :gid (default: the image's)")
      .addOption(
        new Option('--detach-keys <keys>', 'leave the command running when these are typed')
          .argParser(parseDetachKeys)
          .default(parseDetachKeys('ctrl-p,ctrl-q'), 'ctrl-p,ctrl-q'),
      );
    completeWith(command, 'instance', 'none');
    addHelp(
      command,
      "The command runs beside the image's own, as \"docker exec\" does. It goes over the guest's agent, so it also works in a\nguest without a network. Exit codes: the command's; 128 and the signal that ended it; 127 if it was not found, 126 if\nit could not be run; 125 if mvm itself failed. Without -t, control sequences are removed from what goes to a terminal.\nWithout -t, Ctrl-C interrupts the command; three times leave it.",
      [
        ['mvm exec -it acme/web/i-0a1b2c3d -- /bin/sh', 'A shell; Ctrl-P Ctrl-Q leaves it running'],
        ['mvm exec acme/web/i-0a1b2c3d -- cat /etc/os-release', 'One command'],
        ['mvm exec -i acme/web/i-0a1b2c3d -- psql -U app <dump.sql', 'With input from a file'],
        ['mvm exec -u root -w /srv -e DEBUG=1 i-0a1b -- ./migrate', 'As another user, elsewhere'],
      ],
    );
  },
  async run(context, invocation) {
    const tty = invocation.flag('tty');
    const interactive = invocation.flag('interactive');
    if (tty && interactive && context.stdin.isTTY !== true)
      throw usageError('stdin is no terminal, as -it needs', 'leave out -t: mvm exec -i …');
    const code = await runInGuest(context, {
      address: await resolveInstance(context, invocation.operand(0)),
      args: invocation.operands(1),
      env: environmentOf(invocation.value<string[]>('env') ?? [], context.env),
      cwd: invocation.text('workdir'),
      user: invocation.text('user'),
      interactive,
      tty,
      detachKeys: invocation.value<Uint8Array>('detachKeys') ?? new Uint8Array(),
    });
    if (code !== 0) throw new ReportedFailure(code);
  },
};
