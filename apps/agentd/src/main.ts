import { once } from 'node:events';
import {
  formattedLog,
  isJournalStream,
  keepRunningWithoutLog,
  MAX_UNWRITTEN_LOG_BYTES,
} from '@mvm/node-host';
import { ERROR_CODES, toCodedError } from '@mvm/protocol';
import { Command, CommanderError } from 'commander';
import { destination, pino } from 'pino';
import { startDaemon } from './daemon.js';
import { readOwnVersion } from './own-version.js';
import { serveCommand } from './serve-command.js';
import { createServiceNotifier } from './start/service-notifier.js';

/** What went wrong and what to do, on stderr; the exit status is the error code's. */
function fail(thrown: unknown): void {
  const error = toCodedError(thrown);
  process.stderr.write(`mvm-agentd: ${error.message}\n`);
  if (error.hint !== undefined) process.stderr.write(`  ${error.hint}\n`);
  if (error.reason === 'internal.unexpected' && thrown instanceof Error)
    process.stderr.write(`${thrown.stack}\n`);
  process.exitCode = ERROR_CODES[error.code].exitCode;
}

const program = new Command('mvm-agentd')
  .description('The unprivileged reconciler of mvm: decides what runs, and asks mvm-hostd to do it.')
  .version(readOwnVersion())
  .exitOverride();
program.addCommand(
  serveCommand(process.env, async (config) => {
    const logger = pino(
      { level: config.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
      formattedLog(
        keepRunningWithoutLog(destination({ fd: 1, sync: true, maxLength: MAX_UNWRITTEN_LOG_BYTES })),
        config.logFormat,
        isJournalStream(1, process.env),
      ),
    );
    const notifier = createServiceNotifier(process.env, (problem) =>
      logger.warn({ problem }, 'the service manager could not be told'),
    );
    const daemon = await startDaemon(config, logger);
    // Not earlier: while it starts, a signal ends the process, and what it leaves is what SIGKILL would.
    const signal = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
    void notifier.notify('READY=1');
    notifier.startWatchdog();
    await signal;
    logger.info('stopping');
    void notifier.notify('STOPPING=1');
    await daemon.stop();
    notifier.stopWatchdog();
    logger.info('stopped');
  }).exitOverride(),
);

try {
  await program.parseAsync();
} catch (error) {
  // Commander has printed its own message already.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else fail(error);
}
