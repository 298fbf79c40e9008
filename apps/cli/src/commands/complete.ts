import type { CommandModule } from '../command.js';
import { completionFor } from '../completion/candidates.js';
import { liveNames } from '../completion/live-names.js';
import { onOneLine } from '../format/control-characters.js';
import { buildSilentProgram } from '../program.js';

/** `mvm __complete`, which the completion scripts call. Never fails: a shell has no use for an error. */
export const complete: CommandModule = {
  formats: [],
  configure(command) {
    command.argument('[words...]', 'the words after mvm, the last one to be completed');
  },
  async run(context, invocation) {
    const words = invocation.operands(0);
    const current = words.at(-1) ?? '';
    const program = buildSilentProgram();
    const found = await completionFor(program, words);
    if (found.kind === 'files') {
      context.stdout.write(':files\n');
      return;
    }
    const candidates =
      found.kind === 'candidates'
        ? found.candidates
        : await liveNames(context, found.of, current).catch(() => []);
    for (const { value, description } of candidates) {
      if (!value.startsWith(current)) continue;
      context.stdout.write(`${onOneLine(value)}${description === '' ? '' : `\t${onOneLine(description)}`}\n`);
    }
  },
};
