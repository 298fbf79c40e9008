import type { BigIntStats } from 'node:fs';
import { constants, type FileHandle, open } from 'node:fs/promises';
import { type DesiredStatus, toApiError } from '@mvm/agentd-api';
import { CodedError, isCodedError } from '@mvm/protocol';
import { refuseOlder } from './check-reachable.js';
import { asLoaded, type DesiredSource, type LoadedDesired, type SourceError } from './desired-source.js';
import { MAX_DESIRED_BYTES, parseDesiredDocument } from './parse-document.js';

// INVARIANTS
// - `loaded` is the last content that was valid; an invalid or missing file never changes it.
// - The file is read when its identity, size or time changed. Its content counts only when it is at rest: unchanged for
//   `pollMs` or since the last look, and unchanged by the end of the read. A document that is still being written may be
//   valid without its last tenants.

interface FileContent {
  readonly signature: string;
  /** Null while the file is being written. */
  readonly text: string | null;
}

function fileError(path: string, what: string, hint: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'desired.unreadable',
    message: `the desired-state file ${path} ${what}`,
    hint,
    details: { path },
    cause,
  });
}

/** What to compare the file with: `taken` was read, `seen` was there at the last look. */
interface Known {
  readonly taken: string | null;
  readonly seen: string | null;
  /** Files that were last changed before this time, in milliseconds since the epoch, are at rest. */
  readonly restedSinceMs: number;
}

function signatureOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

/** The file's text, or null when its signature is still `known.taken`. */
async function readFileOnce(path: string, known: Known): Promise<FileContent | null> {
  // Not blocking: a FIFO without a writer would keep the daemon waiting for ever.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await file.stat({ bigint: true });
    if (!found.isFile()) {
      throw fileError(path, 'is not a regular file', 'Use a file: it is looked at again and again.');
    }
    const signature = signatureOf(found);
    if (signature === known.taken) return null;
    if (found.size > BigInt(MAX_DESIRED_BYTES)) {
      throw fileError(path, `has ${found.size} bytes`, `Use at most ${MAX_DESIRED_BYTES} bytes.`);
    }
    const isAtRest = signature === known.seen || Number(found.ctimeMs) < known.restedSinceMs;
    if (!isAtRest) return { signature, text: null };
    const text = await readBounded(file);
    const after = signatureOf(await file.stat({ bigint: true }));
    return after === signature ? { signature, text } : { signature: after, text: null };
  } finally {
    await file.close();
  }
}

/** At most one byte more than is allowed: the file may have grown since its size was looked at. */
async function readBounded(file: FileHandle): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of file.createReadStream({ end: MAX_DESIRED_BYTES, autoClose: false })) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** Desired state from a file, looked at every `pollMs`. PUT is refused: a state has one owner. */
export class FileDesiredSource implements DesiredSource {
  readonly #path: string;
  readonly #now: () => number;
  readonly #listeners: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #pollMs: number;
  #loaded: LoadedDesired | null = null;
  #error: SourceError = null;
  #taken: string | null = null;
  #seen: string | null = null;
  #polling: Promise<void> | null = null;

  private constructor(path: string, now: () => number, pollMs: number) {
    this.#path = path;
    this.#now = now;
    this.#pollMs = pollMs;
    this.#timer = setInterval(() => void this.poll(), pollMs);
  }

  /**
   * Reads the file once; one that is missing, invalid or still being written is reported or waited for, and taken up when
   * it is there and valid.
   */
  static async open(path: string, now: () => number, pollMs = 1000): Promise<FileDesiredSource> {
    const source = new FileDesiredSource(path, now, pollMs);
    await source.poll();
    return source;
  }

  get loaded(): LoadedDesired | null {
    return this.#loaded;
  }

  status(): DesiredStatus {
    return {
      source: 'file',
      path: this.#path,
      revision: this.#loaded?.revision ?? null,
      loaded_at: this.#loaded?.loadedAt ?? null,
      error: this.#error === null ? null : toApiError(this.#error),
    };
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async put(): Promise<never> {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'desired.from_file',
      message: `the desired state comes from the file ${this.#path}`,
      hint: 'Change that file, or start mvm-agentd without --desired to apply states over the API.',
      details: { path: this.#path },
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#polling;
  }

  /** Look at the file now. Never throws. */
  poll(): Promise<void> {
    this.#polling ??= this.#look().finally(() => {
      this.#polling = null;
    });
    return this.#polling;
  }

  async #look(): Promise<void> {
    const before = `${this.#loaded?.revision} ${this.#error?.message}`;
    try {
      const content = await readFileOnce(this.#path, {
        taken: this.#taken,
        seen: this.#seen,
        restedSinceMs: this.#now() - this.#pollMs,
      });
      if (content === null) return;
      this.#seen = content.signature;
      if (content.text === null) return;
      this.#taken = content.signature;
      const desired = parseDesiredDocument(content.text);
      refuseOlder(desired, this.#loaded?.desired);
      const loaded = asLoaded(desired, this.#now());
      if (loaded.revision !== this.#loaded?.revision) this.#loaded = loaded;
      this.#error = null;
    } catch (error) {
      // A file that cannot be read may come back unchanged.
      if (!isCodedError(error)) this.#taken = null;
      this.#error = isCodedError(error) ? error : this.#unreadable(error);
    }
    if (`${this.#loaded?.revision} ${this.#error?.message}` === before) return;
    for (const listener of this.#listeners) listener();
  }

  #unreadable(cause: unknown): CodedError {
    const errno = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
    const what = errno === 'ENOENT' ? 'does not exist' : `cannot be read: ${errno ?? String(cause)}`;
    return fileError(
      this.#path,
      what,
      'Put it there, readable for the user that runs mvm-agentd; it is then taken up.',
      cause,
    );
  }
}
