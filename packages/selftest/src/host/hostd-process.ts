import { EndedEarly, startListening } from '@mvm/node-host';

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

/** An emulated machine is slow to load hostd, which then proves that a guest runs in Firecracker. */
const START_TIMEOUT_MS = 300_000;

/**
 * Start hostd; resolves once its socket accepts a connection, which is after its recovery. Rejects with `HostdEnded` when
 * it ends first, and with what it said when it does not listen within a minute; then it is gone.
 */
export async function startHostd({ program, args, env, socketPath }: HostdOptions): Promise<HostdProcess> {
  const { log, text, take, listeners } = readLog();
  const started = await startListening({
    command: program.endsWith('.js')
      ? [process.execPath, program, 'serve', ...args]
      : [program, 'serve', ...args],
    env,
    socketPath,
    timeoutMs: START_TIMEOUT_MS,
    output: take,
  }).catch((error: unknown) => {
    const said = `${text()}${log.map((line) => JSON.stringify(line)).join('\n')}`.slice(-4000);
    if (error instanceof EndedEarly) throw new HostdEnded(error.how, said, log);
    throw new Error(`hostd does not serve: ${(error as Error).message}\n${said}`, { cause: error });
  });
  return {
    pid: started.pid,
    log,
    text,
    exited: started.closed,
    onStep: (listener) => {
      listeners.add(listener);
      return { off: () => listeners.delete(listener) };
    },
    signal: started.signal,
  };
}

/** Reads the lines of a log as pieces of its text come. */
function readLog() {
  const log: LogLine[] = [];
  const listeners = new Set<(step: string) => void>();
  let other = '';
  let partial = '';
  const takeLine = (line: string): void => {
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
  return {
    log,
    listeners,
    text: () => other,
    take: (chunk: string): void => {
      const lines = (partial + chunk).split('\n');
      partial = lines.pop() ?? '';
      for (const line of lines) takeLine(line);
    },
  };
}
