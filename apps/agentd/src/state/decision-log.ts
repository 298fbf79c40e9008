import { join } from 'node:path';
import { type InstanceDecision, instanceDecisionSchema } from '@mvm/agentd-api';
import { toCodedError } from '@mvm/protocol';
import type { Logger } from 'pino';
import { z } from 'zod';
import { readIfThere, writeFileAtomic } from './atomic-file.js';

// INVARIANTS
// - At most MAX_PER_INSTANCE decisions of one instance, and MAX_DECISIONS in all; the oldest go first.
// - It only explains. A file that cannot be read or written costs explanations, never an operation.

const MAX_PER_INSTANCE = 32;
const MAX_DECISIONS = 2000;
/** What happens within this time is written together. */
const WRITE_AFTER_MS = 1000;

const entrySchema = z.object({ address: z.string(), decision: instanceDecisionSchema });
const fileSchema = z.object({ schema_version: z.literal(1), decisions: z.array(entrySchema) });
type Entry = z.infer<typeof entrySchema>;

interface Address {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly instance_id: string;
}

function nameOf({ tenant_id, pool_id, instance_id }: Address): string {
  return `${tenant_id}/${pool_id}/${instance_id}`;
}

/** What was done with instances and why, in `<state-dir>/decisions.json`, written behind. */
export class DecisionLog {
  readonly #path: string;
  readonly #logger: Logger;
  /** Oldest first. */
  #entries: readonly Entry[];
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, entries: readonly Entry[], logger: Logger) {
    this.#path = path;
    this.#entries = entries;
    this.#logger = logger;
  }

  /** Begins empty when the file is not there, or not what agentd writes. */
  static async open(stateDir: string, logger: Logger): Promise<DecisionLog> {
    const path = join(stateDir, 'decisions.json');
    try {
      const text = await readIfThere(path);
      const entries = text === null ? [] : fileSchema.parse(JSON.parse(text)).decisions;
      return new DecisionLog(path, entries, logger);
    } catch (error) {
      logger.warn({ path, err: error }, 'the record of decisions cannot be read; it starts again, empty');
      return new DecisionLog(path, [], logger);
    }
  }

  add(address: Address, decision: InstanceDecision): void {
    const name = nameOf(address);
    const own = this.#entries.filter((entry) => entry.address === name);
    const oldest = own.length >= MAX_PER_INSTANCE ? own[0] : undefined;
    const kept = oldest === undefined ? this.#entries : this.#entries.filter((entry) => entry !== oldest);
    this.#entries = [...kept, { address: name, decision }].slice(-MAX_DECISIONS);
    this.#timer ??= setTimeout(() => this.#write(), WRITE_AFTER_MS).unref();
  }

  /** Of one instance, newest first. */
  of(address: Address): InstanceDecision[] {
    const name = nameOf(address);
    return this.#entries.flatMap((entry) => (entry.address === name ? [entry.decision] : [])).reverse();
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    if (this.#timer !== null) this.#write();
    await this.#writing;
  }

  #write(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing = this.#writing.then(async () => {
      const text = `${JSON.stringify({ schema_version: 1, decisions: this.#entries })}\n`;
      await writeFileAtomic(this.#path, text).catch((error: unknown) => {
        this.#logger.warn(
          { path: this.#path, error: toCodedError(error).message },
          'the record of decisions cannot be written',
        );
      });
    });
  }
}
