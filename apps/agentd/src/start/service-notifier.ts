import { execFile } from 'node:child_process';
import { watchdogIntervalMs } from '@mvm/node-host';

/** Reports to systemd. Without systemd, `NOTIFY_SOCKET` is not set and nothing is sent. */
export interface ServiceNotifier {
  /** Sends assignments such as `READY=1`; resolves when systemd has them. Never throws. */
  notify(...assignments: readonly string[]): Promise<void>;
  /** From now on, sends `WATCHDOG=1` twice per interval that systemd asks for, as long as the event loop runs. */
  startWatchdog(): void;
  stopWatchdog(): void;
}

const SEND_TIMEOUT_MS = 30_000;

/**
 * Runs systemd-notify for each message, because Node cannot send datagrams on Unix sockets: agentd needs no native code for
 * it, and its unit needs `NotifyAccess=all`. `onProblem` gets the reason of a message that was not sent. Source:
 * sd_notify(3), systemd-notify(1).
 */
export function createServiceNotifier(
  environment: Readonly<Record<string, string | undefined>>,
  onProblem: (problem: string) => void,
): ServiceNotifier {
  const isManaged = environment.NOTIFY_SOCKET !== undefined && environment.NOTIFY_SOCKET !== '';
  const intervalMs = isManaged ? watchdogIntervalMs(environment, process.pid) : null;
  let timer: NodeJS.Timeout | null = null;

  const notify: ServiceNotifier['notify'] = (...assignments) =>
    new Promise((resolve) => {
      if (!isManaged) return resolve();
      const { PATH, NOTIFY_SOCKET } = environment;
      const options = { timeout: SEND_TIMEOUT_MS, env: { PATH, NOTIFY_SOCKET } };
      execFile('systemd-notify', assignments, options, (error, _stdout, stderr) => {
        if (error !== null) onProblem(stderr.trim() === '' ? error.message : stderr.trim());
        resolve();
      });
    });

  return {
    notify,
    startWatchdog: () => {
      if (intervalMs === null || timer !== null) return;
      timer = setInterval(() => void notify('WATCHDOG=1'), intervalMs / 2);
    },
    stopWatchdog: () => {
      if (timer !== null) clearInterval(timer);
      timer = null;
    },
  };
}
