import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/mvm.js', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly socket?: string | undefined;
  readonly input?: string | Uint8Array;
  readonly env?: Record<string, string>;
}

/** A running `mvm`, started as a shell would: the real program in a child process. */
export interface Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Settles when stdout has held the text; rejects when the process ends before. */
  sawOutput(text: string): Promise<void>;
}

export function startMvm(args: readonly string[], { socket, input, env }: RunOptions = {}): Running {
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...(socket && { MVM_SOCKET: socket }), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    for (const watch of watchers) watch();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A child that does not read its input closes it; that is not this test's concern.
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return {
    child,
    finished,
    sawOutput: (text) =>
      new Promise((resolve, reject) => {
        const watch = () => {
          if (stdout.includes(text)) resolve();
        };
        watchers.add(watch);
        watch();
        void finished.then(() =>
          reject(new Error(`mvm ended without printing ${JSON.stringify(text)}: ${stderr}`)),
        );
      }),
  };
}

export function runMvm(args: readonly string[], options?: RunOptions): Promise<Finished> {
  return startMvm(args, options).finished;
}
