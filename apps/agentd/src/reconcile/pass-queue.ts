import type { Trigger } from './status.js';

/** Triggers that stand for a change that no pass has looked at yet. */
const ASKED: ReadonlySet<Trigger> = new Set(['start', 'desired', 'request', 'event']);

export interface PassQueueOptions {
  /** Runs one pass, and calls `answered` once what asked for it is answered; it may go on after that. Never rejects. */
  readonly pass: (trigger: Trigger, answered: () => void) => Promise<void>;
  /** When the next pass follows by itself, and what it is called then; asked after each pass. */
  readonly nextWait: () => { readonly ms: number; readonly trigger: Trigger };
}

/**
 * When passes run.
 *
 * INVARIANTS
 * - At most one pass at a time; what asks for one during a pass gets another one after it.
 * - `isUpToDate` only when a pass was answered that began after the last change that is known.
 */
export class PassQueue {
  readonly #options: PassQueueOptions;
  #next: Trigger | null = null;
  #asked = 0;
  #answered = 0;
  #waiters: (() => void)[] = [];
  #running: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(options: PassQueueOptions) {
    this.#options = options;
  }

  get isUpToDate(): boolean {
    return this.#asked === this.#answered;
  }

  /** Ask for a pass that begins after now. */
  enqueue(trigger: Trigger): void {
    if (this.#stopped) return;
    this.#next = trigger;
    if (ASKED.has(trigger)) this.#asked += 1;
    this.#run();
  }

  /** A pass that begins after now; resolves when it is answered, whatever its outcome. */
  passNow(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    const answered = new Promise<void>((resolve) => this.#waiters.push(resolve));
    this.enqueue('request');
    return answered;
  }

  /** No further pass; resolves when the one under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
    for (const release of this.#waiters.splice(0)) release();
  }

  #run(): void {
    if (this.#running !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const trigger = this.#next ?? 'interval';
    this.#next = null;
    const asked = this.#asked;
    const waiters = this.#waiters.splice(0);
    const release = (): void => {
      for (const resolve of waiters.splice(0)) resolve();
    };
    const answered = (): void => {
      this.#answered = asked;
      release();
    };
    this.#running = this.#options.pass(trigger, answered).then(() => {
      release();
      this.#running = null;
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#stopped) return;
    if (this.#next !== null) {
      this.#run();
      return;
    }
    const { ms, trigger } = this.#options.nextWait();
    this.#timer = setTimeout(() => this.enqueue(trigger), ms);
  }
}
