import { join } from 'node:path';
import { type DesiredStatus, toApiError } from '@mvm/agentd-api';
import { CodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { readIfThere, writeFileAtomic } from '../state/atomic-file.js';
import { asLoaded, type DesiredSource, type LoadedDesired, type SourceError } from './desired-source.js';
import { parseDesiredDocument } from './parse-document.js';

// INVARIANT: a state is in force only after it is on disk, so that a crash never goes back to an older one.

/** Desired state that arrives over the API and is kept in `<state-dir>/desired.json`. */
export class ApiDesiredSource implements DesiredSource {
  readonly #path: string;
  readonly #now: () => number;
  readonly #listeners: (() => void)[] = [];
  #loaded: LoadedDesired | null = null;
  #error: SourceError = null;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(path: string, now: () => number) {
    this.#path = path;
    this.#now = now;
  }

  /** Reads what was kept. A damaged file is reported and changes nothing on the host until a state is put. */
  static async open(stateDir: string, now: () => number): Promise<ApiDesiredSource> {
    const source = new ApiDesiredSource(join(stateDir, 'desired.json'), now);
    const text = await readIfThere(source.#path);
    if (text === null) return source;
    try {
      source.#loaded = asLoaded(parseDesiredDocument(text), now());
    } catch (cause) {
      source.#error = new CodedError({
        code: 'failed_precondition',
        reason: 'state.damaged',
        message: `${source.#path} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
        hint: 'Apply the desired state again: mvm apply -f <file>.',
        cause,
      });
    }
    return source;
  }

  get loaded(): LoadedDesired | null {
    return this.#loaded;
  }

  status(): DesiredStatus {
    return {
      source: this.#loaded === null ? 'none' : 'api',
      path: null,
      revision: this.#loaded?.revision ?? null,
      loaded_at: this.#loaded?.loadedAt ?? null,
      error: this.#error === null ? null : toApiError(this.#error),
    };
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  put(desired: DesiredState): Promise<LoadedDesired> {
    const done = this.#writing.then(async () => {
      await writeFileAtomic(this.#path, `${JSON.stringify(desired, null, 2)}\n`);
      const loaded = asLoaded(desired, this.#now());
      this.#loaded = loaded;
      this.#error = null;
      for (const listener of this.#listeners) listener();
      return loaded;
    });
    this.#writing = done.catch(() => {});
    return done;
  }

  async close(): Promise<void> {
    await this.#writing;
  }
}
