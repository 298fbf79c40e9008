import { once } from 'node:events';
import {
  formattedLog,
  isJournalStream,
  keepRunningWithoutLog,
  MAX_UNWRITTEN_LOG_BYTES,
} from '@mvm/node-host';
import { runProgram, settingsCommand } from '@mvm/settings';
import { Command } from 'commander';
import { destination, pino } from 'pino';
import { type AgentdConfig, ENVIRONMENT_PREFIX, settings } from './config/settings.js';
import { startDaemon } from './daemon.js';
import { readOwnVersion } from './own-version.js';
import { createServiceNotifier } from './start/service-notifier.js';

const program = new Command('mvm-agentd')
  .description('The unprivileged reconciler of mvm: decides what runs, and asks mvm-hostd to do it.')
  .version(readOwnVersion())
  .exitOverride();
settingsCommand(
  program
    .command('serve')
    .description('Keep this host at its desired state, and serve the API.')
    .exitOverride(),
  { table: settings, prefix: ENVIRONMENT_PREFIX, configPath: null },
  ({ config }) => serve(config),
);

async function serve(config: AgentdConfig): Promise<void> {
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
}

await runProgram(program);
