import ora from 'ora';

/** One line that changes: a spinner on a terminal, a line per change elsewhere. */
export interface ProgressLine {
  update(text: string): void;
  end(): void;
}

export function startProgress(text: string): ProgressLine {
  // A terminal may not know how wide it is; ora would then clear lines without end.
  if (process.stderr.isTTY && process.stderr.columns > 0) {
    const spinner = ora({ text, stream: process.stderr, discardStdin: false }).start();
    return {
      update(next) {
        spinner.text = next;
      },
      end() {
        spinner.stop();
      },
    };
  }
  let last = '';
  const update = (next: string): void => {
    if (next !== last) process.stderr.write(`  ... ${next}\n`);
    last = next;
  };
  update(text);
  return { update, end() {} };
}
