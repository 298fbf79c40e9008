import { setTimeout as delay } from 'node:timers/promises';
import type { AgentdClient } from '@mvm/agentd-api';
import type { CliContext, TextOutput } from './context.js';
import { createColours, wantsColours } from './format/colours.js';
import type { GlobalOptions } from './program.js';

/** Default socket of agentd's API. The constant of @mvm/protocol, checked by a test; importing that costs 40 ms. */
export const DEFAULT_SOCKET_PATH = '/run/mvm/agentd.sock';

export interface ContextOptions {
  readonly globals: GlobalOptions;
  readonly signal: AbortSignal;
}

/** The context of one call on this process's streams; `close` ends its connections. */
export function createContext({ globals, signal }: ContextOptions): {
  context: CliContext;
  close: () => Promise<void>;
} {
  const { env } = process;
  const socketPath = globals.socket ?? (env.MVM_SOCKET || DEFAULT_SOCKET_PATH);
  const quiet = globals.quiet === true;
  let client: Promise<AgentdClient> | undefined;
  const stderr = outputOf(process.stderr);
  const context: CliContext = {
    stdout: outputOf(process.stdout),
    stderr,
    env,
    signal,
    colours: createColours({ isTty: process.stdout.isTTY === true, env }),
    errorColours: createColours({ isTty: stderr.isTty, env }),
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    sleep: (ms) => delay(ms, undefined, { signal }),
    readStdin,
    // Reading `process.stdin` opens it: not before a command wants it.
    get stdin() {
      return process.stdin;
    },
    takeSignals,
    ask: (question) => ask(question, signal),
    say: (message) => {
      if (!quiet) stderr.write(`${message}\n`);
    },
    progress: async (text) => {
      const [{ createProgress }, { createSpinner }] = await Promise.all([
        import('./progress/progress.js'),
        import('./progress/spinner.js'),
      ]);
      const spinner = (first: string) => createSpinner(first, wantsColours({ isTty: stderr.isTty, env }));
      return createProgress({ ...stderr, spinner }, text, quiet);
    },
    socketPath,
    agentd: () => {
      client ??= import('@mvm/agentd-api').then(({ createAgentdClient }) =>
        createAgentdClient({ socketPath }),
      );
      return client;
    },
  };
  return { context, close: async () => (await client?.catch(() => undefined))?.close() };
}

function outputOf(stream: NodeJS.WriteStream): TextOutput {
  return {
    isTty: stream.isTTY === true,
    columns: stream.columns,
    write: (text) => {
      stream.write(text);
    },
    flushed: () =>
      stream.writableNeedDrain ? new Promise((resolve) => stream.once('drain', resolve)) : undefined,
  };
}

function takeSignals(names: readonly NodeJS.Signals[], callback: (name: NodeJS.Signals) => void): () => void {
  const before = names.map((name) => [name, process.listeners(name)] as const);
  for (const name of names) {
    process.removeAllListeners(name);
    process.on(name, callback);
  }
  return () => {
    for (const [name, listeners] of before) {
      process.off(name, callback);
      for (const listener of listeners) process.on(name, listener);
    }
  };
}

async function readStdin(maxBytes: number): Promise<Uint8Array | 'tooLarge'> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk as Buffer);
    length += bytes.length;
    if (length > maxBytes) return 'tooLarge';
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

async function ask(question: string, signal: AbortSignal): Promise<string | undefined> {
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) return undefined;
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // While readline reads the terminal, Ctrl-C arrives here instead of as a signal.
    lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
    // Ctrl-D closes the interface without an answer.
    const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    return await Promise.race([lines.question(question, { signal }), closed]);
  } finally {
    lines.close();
  }
}
