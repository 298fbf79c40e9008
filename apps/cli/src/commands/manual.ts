import type { CommandModule } from '../command.js';
import { readOwnVersion } from '../own-version.js';
import { buildSilentProgram, configureAll } from '../program.js';
import { renderManual } from '../reference/render-manual.js';

/** `mvm __manual`, out of which the Debian package gets its manual pages: JSON, file name to text. */
export const manual: CommandModule = {
  formats: [],
  configure() {},
  async run(context) {
    const program = buildSilentProgram();
    await configureAll(program);
    const pages = renderManual(program, readOwnVersion());
    context.stdout.write(
      `${JSON.stringify(Object.fromEntries(pages.map(({ file, text }) => [file, text])))}\n`,
    );
  },
};
