import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A line of hostd's log. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly step?: string;
  readonly [field: string]: unknown;
}

/** A hostd that was started by us, and is only ever signalled by us through its own handle. */
export interface HostdProcess {
  readonly pid: number;
  /** What it logged, in order. */
  readonly log: readonly LogLine[];
  /** Text that was no log line: a crash of Node, a usage error. */
  text(): string;
  /** Resolves when it has ended: its signal, or `status <n>`. */
  readonly exited: Promise<string>;
  /** Calls back when it says that a step begins; until `off`. */
  onStep(listener: (step: string) => void): { off(): void };
  signal(signal: 'SIGKILL' | 'SIGCONT' | 'SIGTERM'): void;
}

export interface HostdOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly socketPath: string;
}

/** hostd has ended before it served. */
export class HostdEnded extends Error {
  /** Its signal, or `status <n>`. */
  readonly how: string;
  /** Its log up to then. */
  readonly log: readonly LogLine[];
  constructor(how: string, said: string, log: readonly LogLine[]) {
    super(`hostd ended with ${how} before it served:\n${said}`);
    this.how = how;
    this.log = log;
  }
}

const START_TIMEOUT_MS = 60_000;

/**
 * Start hostd; resolves once its socket accepts a connection, which is after its recovery. Rejects with `HostdEnded` when
 * it ends first, and with what it said when it does not listen within a minute; then it is gone.
 */
export async function startHostd(options: HostdOptions): Promise<HostdProcess> {
  const { program, args, socketPath } = options;
  const command = program.endsWith('.js') ? [process.execPath, program] : [program];
  const [file = program, ...before] = command;
  const child = spawn(file, [...before, 'serve', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...options.env },
    cwd: '/',
  });
  const hostd = observe(child);
  let ended: string | null = null;
  void hostd.exited.then((how) => {
    ended = how;
  });
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await accepts(socketPath))) {
    const said = (): string =>
      `${hostd.text()}${hostd.log.map((line) => JSON.stringify(line)).join('\n')}`.slice(-4000);
    if (ended !== null) throw new HostdEnded(ended, said(), hostd.log);
    if (performance.now() > deadline) {
      hostd.signal('SIGKILL');
      await hostd.exited;
      throw new Error(`hostd did not serve within ${START_TIMEOUT_MS / 1000} s:\n${said()}`);
    }
    await sleep(10);
  }
  return hostd;
}

function observe(child: ChildProcess): HostdProcess {
  const log: LogLine[] = [];
  const listeners = new Set<(step: string) => void>();
  let other = '';
  let partial = '';
  const take = (line: string): void => {
    if (line.trim() === '') return;
    let parsed: LogLine;
    try {
      parsed = JSON.parse(line) as LogLine;
    } catch {
      other += `${line}\n`;
      return;
    }
    log.push(parsed);
    if (parsed.msg === 'step begins' && parsed.step !== undefined) {
      for (const listener of [...listeners]) listener(parsed.step);
    }
  };
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (partial + chunk).split('\n');
    partial = lines.pop() ?? '';
    for (const line of lines) take(line);
  });
  const exited = new Promise<string>((resolve) => {
    let how = '';
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => {
      how = signal ?? `status ${code}`;
    });
    // After what it wrote last has been read.
    child.once('close', () => resolve(how));
  });
  return {
    pid: child.pid ?? -1,
    log,
    text: () => other,
    exited,
    onStep: (listener) => {
      listeners.add(listener);
      return { off: () => listeners.delete(listener) };
    },
    signal: (signal) => child.kill(signal),
  };
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
