import { InvalidArgumentError } from 'commander';
import type { RunSpec } from './run-pool.js';

/** `no`, `always`, `on-failure`, or with the most starts again in a row, `on-failure:5`. */
export function parseRestart(text: string): NonNullable<RunSpec['restart']> {
  const [, policy, most] = /^(?:(no|always)|on-failure(?::([1-9]\d{0,5}))?)$/.exec(text) ?? [
    undefined,
    '',
    '',
  ];
  if (policy === '')
    throw new InvalidArgumentError('Use no, on-failure, on-failure:<most retries> or always.');
  if (policy === 'no' || policy === 'always') return { policy };
  return { policy: 'on-failure', ...(most === undefined ? {} : { max_retries: Number(most) }) };
}

const UNITS: Readonly<Record<string, number>> = { m: 1, mib: 1, g: 1024, gib: 1024 };

/** Memory in MiB: `512m`, `2g`, or a number of MiB. */
export function parseMemory(text: string): number {
  const [, digits = '', unit = 'm'] = /^(\d{1,7})([a-z]{1,3})?$/i.exec(text) ?? [];
  const factor = UNITS[unit.toLowerCase()];
  if (digits === '' || factor === undefined) throw new InvalidArgumentError('Use a size as in 512m or 2g.');
  return Number(digits) * factor;
}

export function parseCpus(text: string): number {
  if (!/^\d{1,2}$/.test(text) || Number(text) < 1)
    throw new InvalidArgumentError('Use a whole number, 1 to 32.');
  return Number(text);
}

/** `8080:80` or `53:53/udp`, added to those before it. */
export function parsePublish(text: string, before: RunSpec['publish'] | undefined): RunSpec['publish'] {
  const [, host = '', guest = '', protocol = 'tcp'] =
    /^(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? [];
  const [host_port, guest_port] = [Number(host), Number(guest)];
  if (host === '' || host_port < 1 || guest_port < 1 || host_port > 65_535 || guest_port > 65_535)
    throw new InvalidArgumentError('Use <host port>:<guest port>, with /udp if it is not TCP.');
  return [...(before ?? []), { protocol: protocol === 'udp' ? 'udp' : 'tcp', host_port, guest_port }];
}
