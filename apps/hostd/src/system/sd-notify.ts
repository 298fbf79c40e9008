import { watchdogIntervalMs } from '@mvm/node-host';
import { closeDescriptor, lastErrorName, openSocket, sendto } from './libc.js';

/** Tells systemd how the daemon is doing. */
export interface ServiceNotifier {
  /** Send one message, e.g. `READY=1`. Never throws: a missing or deaf supervisor must not stop the daemon. */
  notify(message: string): void;
  /** How often WATCHDOG=1 is expected at the latest, in milliseconds, or null without a watchdog. */
  readonly watchdogMs: number | null;
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** struct sockaddr_un for a path, or for an abstract name written with a leading `@`. Source: unix(7). */
function socketAddress(target: string): Buffer {
  const name = Buffer.from(target, 'utf8');
  if (target.startsWith('@')) name[0] = 0;
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, name, target.startsWith('@') ? Buffer.alloc(0) : Buffer.alloc(1)]);
}

/**
 * The notifier of the service manager that `NOTIFY_SOCKET` names; without one, messages go nowhere. `onProblem` is
 * told when a message could not be sent. Source: sd_notify(3), sd_watchdog_enabled(3).
 */
export function createServiceNotifier(
  environment: Readonly<Record<string, string | undefined>>,
  onProblem: (problem: string) => void,
): ServiceNotifier {
  const target = environment.NOTIFY_SOCKET;
  if (target === undefined || !/^[/@]/.test(target) || Buffer.byteLength(target) > 107) {
    return { notify: () => {}, watchdogMs: null };
  }
  const address = socketAddress(target);
  return {
    watchdogMs: watchdogIntervalMs(environment, process.pid),
    notify: (message) => {
      const fd = openSocket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      if (fd < 0) return onProblem(lastErrorName());
      const data = Buffer.from(message, 'utf8');
      const sent = sendto(fd, data, data.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length);
      if (sent < 0) onProblem(lastErrorName());
      closeDescriptor(fd);
    },
  };
}
