import { join } from 'node:path';
import { type Hold, holdSchema } from '@mvm/agentd-api';
import { CodedError } from '@mvm/protocol';
import { z } from 'zod';
import { readIfThere, writeFileAtomic } from './atomic-file.js';

// INVARIANTS
// - What `active` shows is on disk: a change is visible after its file was written, never before.
// - At most one hold per instance.

/** Small corrections of a clock. */
const SLACK_MS = 60_000;

const fileSchema = z.object({ schema_version: z.literal(1), holds: z.array(holdSchema) });

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

/** The holds that outlive a restart of agentd, in `<state-dir>/holds.json`. */
export class HoldStore {
  readonly #path: string;
  #holds: readonly Hold[];
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(path: string, holds: readonly Hold[]) {
    this.#path = path;
    this.#holds = holds;
  }

  /** Reads the file; `failed_precondition`, reason `state.damaged`, when it is not what agentd writes. */
  static async open(stateDir: string): Promise<HoldStore> {
    const path = join(stateDir, 'holds.json');
    const text = await readIfThere(path);
    if (text === null) return new HoldStore(path, []);
    try {
      return new HoldStore(path, fileSchema.parse(JSON.parse(text)).holds);
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
   * A hold that begins in the future was set before the clock was set back: it begins now, and lasts as long as it was meant
   * to, not until the clock comes by its end. Written with the next change.
   */
  #bound(nowMs: number): void {
    const isToCome = (hold: Hold): boolean => Date.parse(hold.since) > nowMs + SLACK_MS;
    if (!this.#holds.some(isToCome)) return;
    this.#holds = this.#holds.map((hold) => {
      if (!isToCome(hold)) return hold;
      const lastsMs = Date.parse(hold.until) - Date.parse(hold.since);
      return {
        ...hold,
        since: new Date(nowMs).toISOString(),
        until: new Date(nowMs + lastsMs).toISOString(),
      };
    });
  }

  #change(edit: (holds: readonly Hold[]) => readonly Hold[], nowMs: number): Promise<void> {
    const done = this.#writing.then(async () => {
      const before = this.active(nowMs);
      const holds = edit(before);
      if (holds === before) return;
      await writeFileAtomic(this.#path, `${JSON.stringify({ schema_version: 1, holds }, null, 2)}\n`);
      this.#holds = holds;
    });
    this.#writing = done.catch(() => {});
    return done;
  }
}
