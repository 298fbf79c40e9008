import { runCli } from './run-cli.js';

/** Composition root: the process's streams, signals and exit code meet the tool here and nowhere else. */
const controller = new AbortController();
const INTERRUPTED = { SIGINT: 130, SIGTERM: 143 } as const;
/** How long a command that was interrupted may take to clean up. */
const GRACE_MS = 3000;

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The second signal does not wait for anything.
    if (controller.signal.aborted) process.exit(INTERRUPTED[signal]);
    controller.abort(new DOMException(`interrupted by ${signal}`, 'AbortError'));
    setTimeout(() => process.exit(INTERRUPTED[signal]), GRACE_MS).unref();
    interruptedWith = INTERRUPTED[signal];
  });
}
let interruptedWith: number | undefined;

// A reader that went away (`mvm … | head`) has seen what it wanted: nothing to complain about.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
process.stderr.on('error', () => process.exit(1));

const exitCode = await runCli({ argv: process.argv.slice(2), signal: controller.signal });
process.stdout.write('', () => process.exit(interruptedWith ?? exitCode));
