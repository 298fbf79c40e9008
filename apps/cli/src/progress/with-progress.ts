import type { CliContext } from '../context.js';
import type { Progress } from './progress.js';

/** What takes no longer than this is done without a word. */
const PATIENCE_MS = 1000;

/** Runs `work`; when that takes more than a second, says so until it is done. */
export async function withProgress<T>(context: CliContext, text: string, work: () => Promise<T>): Promise<T> {
  let progress: Promise<Progress> | undefined;
  const timer = setTimeout(() => {
    progress = context.progress(text);
  }, PATIENCE_MS);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
    (await progress)?.done();
  }
}
