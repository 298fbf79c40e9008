import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/** The programs that are ever run. */
export type Program = 'ip' | 'nft' | 'bridge' | 'conntrack';

/** How a program ended. */
export interface CommandResult {
  /** Null when it could not be started or was ended by a signal. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** `ENOENT` and the like when it could not be started; `timeout`, `output` when it took or said too much; else null. */
  readonly failure: string | null;
}

/**
 * A program that has been started and waits for what it reads from its stdin. Until then it does not keep this process
 * from ending, and ends with it.
 */
export interface PreparedCommand {
  /** Whether it has ended while it waited, or could not be started. */
  ended(): boolean;
  /** Gives it the text, once; resolves when it has ended. */
  run(stdin: string): Promise<CommandResult>;
  /** Lets it end with nothing to do. */
  cancel(): void;
}

/** Runs one program with an argument array and a text on its stdin; never throws for how the program ends. */
export interface CommandRunner {
  run(program: Program, args: readonly string[], stdin: string): Promise<CommandResult>;
  /** Starts a program whose text is given later, so that it is ready by then; when absent, it is started by then. */
  prepare?(program: Program, args: readonly string[]): PreparedCommand;
}

/** Nothing of the caller's environment reaches a program that runs as root. */
export const COMMAND_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
};
const TIMEOUT_MS = 30_000;
/** 1000 tenants with their TAPs list as some 3 MB. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

interface Ending {
  failure: string | null;
}

function collect(
  child: ChildProcessWithoutNullStreams,
  ending: Ending,
): { stdout: Buffer[]; stderr: Buffer[] } {
  const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  let bytes = 0;
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= MAX_OUTPUT_BYTES) output[name].push(chunk);
      else {
        ending.failure = 'output';
        child.kill('SIGKILL');
      }
    });
    child[name].on('error', () => undefined);
  }
  return output;
}

/**
 * The runner for the real host: `ip` of iproute2 and `nft` of nftables, found in the system's directories only, without a
 * shell. Plain node:child_process, because a request is two of these calls and nothing else: execa adds 2 ms of CPU to
 * each, a third of the whole.
 */
export function createCommandRunner(): CommandRunner {
  return {
    run: (program, args, stdin) => start(program, args).run(stdin),
    prepare: start,
  };
}

function start(program: Program, args: readonly string[]): PreparedCommand {
  const ending: Ending = { failure: null };
  let closed = false;
  const child = spawn(program, args, { env: COMMAND_ENVIRONMENT, stdio: ['pipe', 'pipe', 'pipe'] });
  const output = collect(child, ending);
  let timer: NodeJS.Timeout | undefined;
  child.on('error', (error: NodeJS.ErrnoException) => {
    ending.failure ??= error.code ?? 'unknown';
  });
  // A program that ends before it has read its script breaks the pipe; its exit code says more than that.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<CommandResult>((resolve) => {
    // Comes after `error` too, when the program could not be started.
    child.on('close', (code) => {
      closed = true;
      clearTimeout(timer);
      const started = child.pid !== undefined;
      resolve({
        exitCode: started && ending.failure === null ? code : null,
        stdout: Buffer.concat(output.stdout).toString('utf8'),
        stderr: Buffer.concat(output.stderr).toString('utf8'),
        failure: ending.failure,
      });
    });
  });
  const handles = [child, child.stdin, child.stdout, child.stderr] as readonly (ChildProcess | Socket)[];
  for (const handle of handles) handle.unref();
  return {
    ended: () => closed,
    run(stdin) {
      for (const handle of handles) handle.ref();
      timer = setTimeout(() => {
        ending.failure = 'timeout';
        child.kill('SIGKILL');
      }, TIMEOUT_MS);
      child.stdin.end(stdin);
      return ended;
    },
    cancel: () => child.stdin.end(),
  };
}
