import { constants, open } from 'node:fs/promises';
import { type DesiredStatus, toApiError } from '@mvm/agentd-api';
import { CodedError, isCodedError } from '@mvm/protocol';
import { asLoaded, type DesiredSource, type LoadedDesired, type SourceError } from './desired-source.js';
import { MAX_DESIRED_BYTES, parseDesiredDocument } from './parse-document.js';

// INVARIANTS
// - `loaded` is the last content that was valid; an invalid or missing file never changes it.
// - The file is read when its identity, size or time changed, and again until a read saw no change under way.

interface FileContent {
  readonly signature: string;
  readonly text: string;
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

/** The file's text, or null when its signature is still `known`. */
async function readFileOnce(path: string, known: string | null): Promise<FileContent | null> {
  // Not blocking: a FIFO without a writer would keep the daemon waiting for ever.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await file.stat({ bigint: true });
    if (!found.isFile()) {
      throw fileError(path, 'is not a regular file', 'Use a file: it is looked at again and again.');
    }
    const { dev, ino, size, mtimeNs } = found;
    const signature = [dev, ino, size, mtimeNs].join(' ');
    if (signature === known) return null;
    if (size > BigInt(MAX_DESIRED_BYTES)) {
      throw fileError(path, `has ${size} bytes`, `Use at most ${MAX_DESIRED_BYTES} bytes.`);
    }
    return { signature, text: await file.readFile('utf8') };
  } finally {
    await file.close();
  }
}

/** Desired state from a file, looked at every `pollMs`. PUT is refused: a state has one owner. */
export class FileDesiredSource implements DesiredSource {
  readonly #path: string;
  readonly #now: () => number;
  readonly #listeners: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  #loaded: LoadedDesired | null = null;
  #error: SourceError = null;
  #signature: string | null = null;
  #polling: Promise<void> | null = null;

  private constructor(path: string, now: () => number, pollMs: number) {
    this.#path = path;
    this.#now = now;
    this.#timer = setInterval(() => void this.poll(), pollMs);
  }

  /** Reads the file once; one that is missing or invalid is reported, and taken up when it is there and valid. */
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
      const content = await readFileOnce(this.#path, this.#signature);
      if (content === null) return;
      this.#signature = content.signature;
      const loaded = asLoaded(parseDesiredDocument(content.text), this.#now());
      if (loaded.revision !== this.#loaded?.revision) this.#loaded = loaded;
      this.#error = null;
    } catch (error) {
      // A file that cannot be read may come back unchanged.
      if (!isCodedError(error)) this.#signature = null;
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
