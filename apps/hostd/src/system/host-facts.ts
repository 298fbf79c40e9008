import { readFileSync } from 'node:fs';
import { type HostNetwork, readHostNetworks } from '@mvm/net-executor/observe';

/** What this host has besides us, as of the moment of asking. */
export interface HostFacts {
  readonly networks: () => readonly HostNetwork[];
  /** Ports on which the host listens for others, as `tcp 22`; those of loopback addresses only are left out. */
  readonly listening: () => ReadonlySet<string>;
}

const LISTENING = { tcp: '0A', udp: '07' } as const;

/** Whether an address as /proc/net/tcp and tcp6 write it is a loopback address. */
function isLoopback(hex: string): boolean {
  if (hex.length === 8) return hex.endsWith('7F');
  return hex === '00000000000000000000000001000000' || /^0{16}FFFF0000.{6}7F$/.test(hex);
}

/**
 * Ports of the sockets that wait for others in the text of /proc/net/tcp, tcp6, udp or udp6. A UDP socket that has a peer
 * waits for no other process. Source: proc(5).
 */
export function parseListening(protocol: 'tcp' | 'udp', text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote = '', state]) => state === LISTENING[protocol] && remote.endsWith(':0000'))
    .flatMap(([, local = '']) => {
      const [address = '', port = ''] = local.split(':');
      return isLoopback(address) ? [] : [`${protocol} ${Number.parseInt(port, 16)}`];
    });
}

function readSockets(protocol: 'tcp' | 'udp', version: '' | '6'): string[] {
  try {
    return parseListening(protocol, readFileSync(`/proc/thread-self/net/${protocol}${version}`, 'utf8'));
  } catch {
    // A kernel without IPv6 has no such file.
    return [];
  }
}

/** The facts of the network namespace that this process is in. */
export const hostFacts: HostFacts = {
  networks: readHostNetworks,
  listening: () =>
    new Set(
      (['tcp', 'udp'] as const).flatMap((protocol) => [
        ...readSockets(protocol, ''),
        ...readSockets(protocol, '6'),
      ]),
    ),
};
