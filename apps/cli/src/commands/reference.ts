import type { CommandModule } from '../command.js';
import { buildProgram, configureAll } from '../program.js';
import { renderReference } from '../reference/render-reference.js';

/** `mvm __reference`, which writes docs/cli.md. */
export const reference: CommandModule = {
  formats: [],
  configure() {},
  async run(context) {
    const nothing = () => {};
    const program = buildProgram({
      version: '',
      execute: async () => {},
      writeOut: nothing,
      writeErr: nothing,
    });
    await configureAll(program);
    context.stdout.write(renderReference(program));
  },
};
