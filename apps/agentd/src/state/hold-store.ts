import { join } from 'node:path';
import { type Hold, holdSchema } from '@mvm/agentd-api';
import { type ClockOffset, clockJumpMs, readClockOffset } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';
import { z } from 'zod';
import { readIfThere, writeFileAtomic } from './atomic-file.js';

// INVARIANTS
// - What `active` shows is on disk: a change is visible after its file was written, never before.
// - At most one hold per instance.
// - A hold lasts as long as it was meant to by the monotonic clock, however the wall clock is set meanwhile.

/** How far the clock may be set between two boots without holds being moved. */
const SLACK_MS = 60_000;

const fileSchema = z.object({
  schema_version: z.literal(1),
  holds: z.array(holdSchema),
  /** How the wall clock is set by which the times of the holds are; absent in files of earlier versions. */
  clock: z.object({ boot_id: z.string(), offset_ms: z.number() }).optional(),
});

/** Which instance a hold is about. */
export interface HoldAddress {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly instance_id: string;
}

function isAbout(hold: HoldAddress, address: HoldAddress): boolean {
  return (
    hold.instance_id === address.instance_id &&
    hold.pool_id === address.pool_id &&
    hold.tenant_id === address.tenant_id
  );
}

/** A hold of an instance for `seconds` from `nowMs`. Pure. */
export function makeHold(address: HoldAddress, kind: Hold['kind'], seconds: number, nowMs: number): Hold {
  const { tenant_id, pool_id, instance_id } = address;
  const since = new Date(nowMs).toISOString();
  const until = new Date(nowMs + seconds * 1000).toISOString();
  return { tenant_id, pool_id, instance_id, kind, since, until };
}

function moved(hold: Hold, byMs: number): Hold {
  const move = (time: string): string => new Date(Date.parse(time) + byMs).toISOString();
  return { ...hold, since: move(hold.since), until: move(hold.until) };
}

/** The holds that outlive a restart of agentd, in `<state-dir>/holds.json`. */
export class HoldStore {
  readonly #path: string;
  readonly #readOffset: () => ClockOffset;
  #holds: readonly Hold[];
  /** How the wall clock is set by which the times of `#holds` are. */
  #clock: ClockOffset;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(path: string, file: z.infer<typeof fileSchema>, readOffset: () => ClockOffset) {
    this.#path = path;
    this.#readOffset = readOffset;
    this.#holds = file.holds;
    this.#clock = file.clock ?? readOffset();
  }

  /** Reads the file; `failed_precondition`, reason `state.damaged`, when it is not what agentd writes. */
  static async open(stateDir: string, readOffset: () => ClockOffset = readClockOffset): Promise<HoldStore> {
    const path = join(stateDir, 'holds.json');
    const text = await readIfThere(path);
    if (text === null) return new HoldStore(path, { schema_version: 1, holds: [] }, readOffset);
    try {
      return new HoldStore(path, fileSchema.parse(JSON.parse(text)), readOffset);
    } catch (cause) {
      throw new CodedError({
        code: 'failed_precondition',
        reason: 'state.damaged',
        message: `${path} is not what mvm-agentd writes`,
        hint: 'Move the file away and start again: instances that an operator stopped or put to sleep may then be started.',
        cause,
      });
    }
  }

  /** The holds that have not ended at `nowMs`, in the order in which they were set. */
  active(nowMs: number): readonly Hold[] {
    this.#bound(nowMs);
    return this.#holds.filter((hold) => Date.parse(hold.until) > nowMs);
  }

  find(address: HoldAddress, nowMs: number): Hold | null {
    return this.active(nowMs).find((hold) => isAbout(hold, address)) ?? null;
  }

  /** Hold an instance for `seconds` from `nowMs`, in place of an earlier hold. */
  async set(address: HoldAddress, kind: Hold['kind'], seconds: number, nowMs: number): Promise<Hold> {
    const hold = makeHold(address, kind, seconds, nowMs);
    await this.#change((holds) => [...holds.filter((other) => !isAbout(other, hold)), hold], nowMs);
    return hold;
  }

  /**
   * End a hold that `set` or `find` returned, or put another one of the instance in its place. Nothing when the instance
   * has a newer hold by now: that one belongs to a later request.
   */
  async end(hold: Hold, nowMs: number, instead: Hold | null = null): Promise<void> {
    const replacement = instead === null ? [] : [instead];
    await this.#change((holds) => {
      if (!holds.includes(hold)) return holds;
      return holds.flatMap((other) => (other === hold ? replacement : [other]));
    }, nowMs);
  }

  /**
   * Moves the holds with the wall clock when it was set. Between two boots it is not known how far: a hold that begins in
   * the future then begins now, and lasts as long as it was meant to. Written with the next change.
   */
  #bound(nowMs: number): void {
    const clock = this.#readOffset();
    const jumpMs = clockJumpMs(this.#clock, clock);
    this.#clock = clock;
    if (jumpMs !== null && jumpMs !== 0) this.#holds = this.#holds.map((hold) => moved(hold, jumpMs));
    this.#holds = this.#holds.map((hold) => {
      const sinceMs = Date.parse(hold.since);
      return sinceMs > nowMs + SLACK_MS ? moved(hold, nowMs - sinceMs) : hold;
    });
  }

  #change(edit: (holds: readonly Hold[]) => readonly Hold[], nowMs: number): Promise<void> {
    const done = this.#writing.then(async () => {
      const before = this.active(nowMs);
      const holds = edit(before);
      if (holds === before) return;
      const clock = this.#clock;
      const file = { schema_version: 1, holds, clock };
      await writeFileAtomic(this.#path, `${JSON.stringify(file, null, 2)}\n`);
      this.#holds = holds;
      this.#clock = clock;
    });
    this.#writing = done.catch(() => {});
    return done;
  }
}
