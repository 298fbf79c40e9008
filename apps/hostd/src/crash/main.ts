/**
 * hostd for crash tests: the daemon and nothing else, which ends itself where `MVM_FAILPOINT` says. It is no part of what
 * is shipped to hosts.
 */
import { runProgram } from '@mvm/settings';
import { createProgram, printLine } from '../cli/program.js';
import { serve } from '../cli/serve.js';
import { noHooks } from '../execute/hooks.js';
import { createFailpoint, FAILPOINT_NAMES, FAILPOINT_VARIABLE, parseFailpointSetting } from './failpoint.js';

const program = createProgram({
  serve: ({ config }) =>
    serve(config, (logger) => {
      const failpoint = parseFailpointSetting(process.env[FAILPOINT_VARIABLE]);
      if (failpoint === null) return noHooks;
      logger.warn(
        { failpoint },
        'MVM_FAILPOINT is set: this hostd will end itself there. It is for crash tests only',
      );
      return createFailpoint(failpoint);
    }),
  print: printLine,
});
program
  .command('failpoints')
  .description('list the points at which MVM_FAILPOINT can end this program')
  .exitOverride()
  .action(() => printLine(JSON.stringify(FAILPOINT_NAMES, null, 2)));
await runProgram(program);
