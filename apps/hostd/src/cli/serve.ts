import {
  formattedLog,
  isJournalStream,
  keepRunningWithoutLog,
  MAX_UNWRITTEN_LOG_BYTES,
} from '@mvm/node-host';
import { destination, type Logger, pino } from 'pino';
import type { HostdConfig } from '../config/settings.js';
import { type Daemon, startDaemon } from '../daemon.js';
import { type ExecutionHooks, noHooks } from '../execute/hooks.js';
import { inheritedSocket } from '../system/listen-fds.js';
import { errorForLog } from '../system/log-error.js';
import { createServiceNotifier } from '../system/sd-notify.js';
import { HOSTD_VERSION } from '../version.js';

/**
 * Run the daemon until it is told to stop: SIGTERM or SIGINT once, then it finishes what is under way; twice, then it
 * does not wait. VMs go on running. A true bug (an uncaught error) is logged and ends the process with status 70.
 */
export async function serve(
  config: HostdConfig,
  createHooks: (logger: Logger) => ExecutionHooks = () => noHooks,
): Promise<void> {
  // Synchronous: the last lines before an end are the ones that matter.
  const logger = pino(
    {
      level: config.logLevel,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: errorForLog },
    },
    formattedLog(
      keepRunningWithoutLog(destination({ fd: 2, sync: true, maxLength: MAX_UNWRITTEN_LOG_BYTES })),
      config.logFormat,
      isJournalStream(2, process.env),
    ),
  );
  const notifier = createServiceNotifier(process.env, (problem) =>
    logger.warn({ problem }, 'the service manager could not be notified'),
  );
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      logger.fatal({ err: error }, 'bug: unhandled error; ending');
      process.exit(70);
    });
  }
  const inherited = inheritedSocket(process.env, process.pid);
  logger.info(
    { version: HOSTD_VERSION, pid: process.pid, state_dir: config.stateDir },
    'mvm-hostd is starting',
  );
  const hooks = createHooks(logger);
  const daemon = await startDaemon(config, logger, inherited, { hooks });
  logger.info({ socket: inherited === null ? config.socket : `fd ${inherited.fd}` }, 'mvm-hostd serves');
  notifier.notify(`READY=1\nMAINPID=${process.pid}`);
  const watchdog =
    notifier.watchdogMs === null
      ? null
      : setInterval(() => notifier.notify('WATCHDOG=1'), notifier.watchdogMs / 2);
  const signal = await stopSignal();
  logger.info({ signal }, 'mvm-hostd is stopping; VMs go on running');
  notifier.notify('STOPPING=1');
  const isFinished = await closeUnlessForced(daemon);
  if (watchdog !== null) clearInterval(watchdog);
  if (!isFinished) {
    logger.warn('an operation takes too long and is interrupted: the next start recovers it');
    process.exit(0);
  }
  logger.info('mvm-hostd has stopped');
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
}

async function closeUnlessForced(daemon: Daemon): Promise<boolean> {
  const closing = daemon.close({ force: false });
  const forced = stopSignal().then(() => 'forced' as const);
  const ended = await Promise.race([closing, forced]);
  return ended === 'forced' ? process.exit(1) : ended;
}
