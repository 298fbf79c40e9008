import { type Figure, msFigures } from './report.js';

/** A step of an operation, or the whole request, as hostd's debug log tells. */
export interface Stage {
  readonly operation: string;
  readonly stage: string;
  readonly ms: number;
  /** When it was done, milliseconds since 1970. */
  readonly atMs: number;
}

const WHOLE = 'whole request';

/** Steps that wait for the VMM or the guest; the rest of a request is our own. */
const WAITING: ReadonlySet<string> = new Set([
  'vm.launch',
  'vm.restore',
  'vm.pause',
  'vm.resume',
  'vm.kill',
  'guest.wake',
]);

/** Everything that hostd has done, out of its log. Lines that are cut off are passed over. */
export class StageLog {
  readonly #seen = new Map<string, Stage>();

  /** Take in a log, as often as wanted: each line counts once. */
  read(log: string): void {
    for (const line of log.split('\n')) {
      if (!line.startsWith('{') || !line.endsWith('}')) continue;
      const { op, operation, step, ms, msg, time } = JSON.parse(line);
      const stage = msg === 'step done' ? step : msg === 'operation done' ? WHOLE : null;
      if (stage === null || operation === undefined) continue;
      const atMs = typeof time === 'number' ? time : Date.parse(time);
      this.#seen.set(`${op} ${stage}`, { operation, stage, ms, atMs });
    }
  }

  /** When a stage was last done; NaN when never. */
  lastAt(operation: string, stage: string): number {
    const times = [...this.#seen.values()].filter(
      (one) => one.operation === operation && one.stage === stage,
    );
    return Math.max(...times.map(({ atMs }) => atMs));
  }

  /** Begin anew: what has been read so far is not counted. */
  forget(): void {
    this.#seen.clear();
  }

  /** Every stage of an operation, in order, and what of the whole is our own. */
  figures(operation: string): Figure[] {
    const stages = new Map<string, number[]>();
    const own = new Map<string, number>();
    for (const [key, one] of this.#seen) {
      if (one.operation !== operation) continue;
      stages.set(one.stage, [...(stages.get(one.stage) ?? []), one.ms]);
      const id = key.slice(0, key.indexOf(' '));
      const share = one.stage === WHOLE ? one.ms : WAITING.has(one.stage) ? -one.ms : 0;
      own.set(id, (own.get(id) ?? 0) + share);
    }
    return [
      ...[...stages].flatMap(([stage, times]) => msFigures(`${operation}, ${stage}`, times, 2)),
      ...msFigures(`${operation}, without waiting for VMM and guest`, [...own.values()], 2),
    ];
  }
}
