import type { Progress } from './progress.js';

/** A spinner on stderr, which must be a terminal. Leaves stdin alone, so that Ctrl-C works as ever. */
export async function createSpinner(text: string, coloured: boolean): Promise<Progress> {
  const { default: ora } = await import('ora');
  const spinner = ora({
    text,
    stream: process.stderr,
    discardStdin: false,
    ...(coloured ? {} : { color: false }),
  });
  spinner.start();
  return {
    update: (next) => {
      spinner.text = next;
    },
    done: (last) => {
      if (last === undefined) spinner.stop();
      else spinner.stopAndPersist({ symbol: '✓', text: last });
    },
    fail: (last) => {
      if (last === undefined) spinner.stop();
      else spinner.stopAndPersist({ symbol: '✗', text: last });
    },
  };
}
