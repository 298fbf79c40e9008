import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { until } from './until.js';

/** How to start a program that serves a Unix socket. */
export interface ListeningOptions {
  /** Program first. */
  readonly command: readonly [string, ...string[]];
  /** Beside the caller's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly socketPath: string;
  readonly timeoutMs: number;
  /** Gets its output as it comes; or a descriptor that the program writes to itself. */
  readonly output: ((text: string) => void) | number;
  /** In a session of its own, so that it survives the caller. */
  readonly detached?: boolean | undefined;
}

/** A program that was started here, and is only signalled through its own handle. */
export interface ListeningProcess {
  readonly pid: number;
  /** Resolves when it has ended: its signal, or `status <n>`. */
  readonly exited: Promise<string>;
  /** The same, once all that it wrote has been read. */
  readonly closed: Promise<string>;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after `graceMs`; resolves as `exited` does. */
  stop(graceMs: number): Promise<string>;
}

/** The program has ended before it listened. */
export class EndedEarly extends Error {
  /** Its signal, or `status <n>`. */
  readonly how: string;
  constructor(how: string) {
    super(`it ended with ${how} before it listened`);
    this.how = how;
  }
}

/**
 * Starts a program and resolves once its socket accepts a connection. Rejects with {@link EndedEarly} when it ends first,
 * and after `timeoutMs`; then it is gone, and its output has been read.
 */
export async function startListening(options: ListeningOptions): Promise<ListeningProcess> {
  const { socketPath, output, timeoutMs } = options;
  const [program, ...args] = options.command;
  const stdio = typeof output === 'number' ? output : 'pipe';
  const child = spawn(program, args, {
    stdio: ['ignore', stdio, stdio],
    env: { ...process.env, ...options.env },
    detached: options.detached ?? false,
    cwd: '/',
  });
  if (typeof output !== 'number') {
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', output);
  }
  const { exited, closed } = endOf(child);
  let ended = false;
  void exited.then(() => {
    ended = true;
  });
  await until(`listening on ${socketPath}`, () => ended || accepts(socketPath), { timeoutMs }).catch(
    async (error: unknown) => {
      child.kill('SIGKILL');
      await closed;
      throw error;
    },
  );
  if (ended || child.pid === undefined) throw new EndedEarly(await closed);
  if (options.detached) child.unref();
  return {
    pid: child.pid,
    exited,
    closed,
    signal: (signal) => child.kill(signal),
    stop: async (graceMs) => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      const how = await exited;
      clearTimeout(timer);
      return how;
    },
  };
}

function endOf(child: ChildProcess): Pick<ListeningProcess, 'exited' | 'closed'> {
  const failed = new Promise<string>((resolve) => child.once('error', (error) => resolve(error.message)));
  const after = (event: 'exit' | 'close'): Promise<string> =>
    new Promise((resolve) =>
      child.once(event, (code: number | null, signal: NodeJS.Signals | null) =>
        resolve(signal ?? `status ${code}`),
      ),
    );
  return { exited: Promise.race([failed, after('exit')]), closed: Promise.race([failed, after('close')]) };
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
