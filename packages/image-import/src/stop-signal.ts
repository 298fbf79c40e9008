import { constants } from 'node:os';
import { badConfig } from './errors.js';

/** First real-time signal of glibc and musl, as images count from it. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** The number of a signal written `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`. Throws `image.bad_config`. */
export function parseSignal(text: string): number {
  const name = text.toUpperCase().replace(/^SIG/, '');
  const number = /^\d+$/.test(name) ? Number(name) : fromName(name);
  if (number !== undefined && number >= 1 && number <= SIGRTMAX) return number;
  throw badConfig(`StopSignal ${JSON.stringify(text)} is not a signal`, 'write it as SIGTERM or as a number');
}

function fromName(name: string): number | undefined {
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (realTime !== null) {
    const offset = Number(`${realTime[2] ?? '+'}${realTime[3] ?? 0}`);
    return (realTime[1] === 'MIN' ? SIGRTMIN : SIGRTMAX) + offset;
  }
  return (constants.signals as Readonly<Record<string, number>>)[`SIG${name}`];
}
