import { onOneLine } from '../format/control-characters.js';

/** Something under way that a person waits for. */
export interface Progress {
  /** Replaces the text. On a terminal it changes in place, elsewhere a line is printed when the text is new. */
  update(text: string): void;
  /** Ends it; with a text, that is what stays on the screen. */
  done(text?: string): void;
  /** Ends it as failed. */
  fail(text?: string): void;
}

export interface ProgressTarget {
  readonly isTty: boolean;
  write(text: string): void;
  /** A spinner on this target; only asked for when it is a terminal. */
  spinner(text: string): Promise<Progress>;
}

/**
 * A spinner on a terminal, plain lines elsewhere, nothing when `quiet`. Texts are put on one line without control
 * characters: they quote problems, which quote what guests and tools wrote.
 */
export async function createProgress(
  target: ProgressTarget,
  text: string,
  quiet: boolean,
): Promise<Progress> {
  if (quiet) return { update: () => {}, done: () => {}, fail: () => {} };
  const first = onOneLine(text);
  const shown = target.isTty ? await target.spinner(first) : createLineProgress(target, first);
  const safe = (last: string | undefined) => (last === undefined ? undefined : onOneLine(last));
  return {
    update: (next) => shown.update(onOneLine(next)),
    done: (last) => shown.done(safe(last)),
    fail: (last) => shown.fail(safe(last)),
  };
}

/** Progress as lines: each new text once, so that a log stays short. */
function createLineProgress(target: Pick<ProgressTarget, 'write'>, text: string): Progress {
  let last = '';
  const print = (line: string | undefined) => {
    if (line === undefined || line === last) return;
    last = line;
    target.write(`${line}\n`);
  };
  print(text);
  return { update: print, done: print, fail: print };
}
