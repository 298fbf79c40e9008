import { CodedError } from '@mvm/protocol';

/** The first descriptor that systemd hands over. Source: sd_listen_fds(3). */
const FIRST_LISTEN_FD = 3;

/**
 * The listening socket handed over by systemd, or null when there is none for this process. Throws
 * `invalid_argument`, reason `config.listen_fds`, when there is more than one. Source: sd_listen_fds(3).
 */
export function inheritedSocket(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): { fd: number } | null {
  const count = environment.LISTEN_FDS;
  if (count === undefined || environment.LISTEN_PID !== String(pid)) return null;
  if (count !== '1') {
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'config.listen_fds',
      message: `systemd handed over ${count} sockets, hostd serves exactly one`,
      hint: 'Give mvm-hostd.socket one ListenStream= line.',
    });
  }
  return { fd: FIRST_LISTEN_FD };
}
