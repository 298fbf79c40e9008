/**
 * The program that runs inside the namespaces that `launchSelftest` makes: options as one line of JSON on stdin, events
 * as lines of JSON on stdout. It ends when stdin does, and everything that it started ends with it.
 */
import { createInterface } from 'node:readline';
import { runCrashMatrix } from './crash/run-matrix.js';
import type { InsideOptions, SelftestEvent } from './events.js';
import { crashProgramOf } from './host/crash-program.js';
import { runQuickTest } from './quick/run-quick-test.js';

function emit(event: SelftestEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

async function main(line: string): Promise<void> {
  const options = JSON.parse(line) as InsideOptions;
  try {
    if (options.kind === 'crash') {
      await runCrashMatrix({ ...options, hostd: crashProgramOf(options.hostd) }, emit);
    } else {
      await runQuickTest(options, emit);
    }
    emit({ type: 'end', failure: null });
  } catch (error) {
    const { message, hint } = error as { message?: string; hint?: string };
    emit({ type: 'end', failure: { message: message ?? String(error), hint: hint ?? '' } });
  }
}

const input = createInterface({ input: process.stdin });
input.once('line', (line) => {
  void main(line).finally(() => process.stdout.write('', () => process.exit(0)));
});
input.once('close', () => process.exit(1));
