import type { CommandModule } from '../command.js';
import { buildSilentProgram, configureAll } from '../program.js';
import { renderReference } from '../reference/render-reference.js';

/** `mvm __reference`, which writes docs/cli.md. */
export const reference: CommandModule = {
  formats: [],
  configure() {},
  async run(context) {
    const program = buildSilentProgram();
    await configureAll(program);
    context.stdout.write(renderReference(program));
  },
};
