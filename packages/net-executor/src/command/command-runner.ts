import { execa } from 'execa';

/** The programs that are ever run. */
export type Program = 'ip' | 'nft';

/** How a program ended. */
export interface CommandResult {
  /** Null when it could not be started or was ended by a signal. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** `ENOENT` and the like when it could not be started; `timeout` when it took too long; else null. */
  readonly failure: string | null;
}

/** Runs one program with an argument array and a text on its stdin; never throws for how the program ends. */
export interface CommandRunner {
  run(program: Program, args: readonly string[], stdin: string): Promise<CommandResult>;
}

// Nothing of the caller's environment reaches a program that runs as root.
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
const TIMEOUT_MS = 30_000;
/** 1000 tenants with their TAPs list as some 3 MB. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/** The runner for the real host: `ip` of iproute2 and `nft` of nftables, found in the system's directories only. */
export function createCommandRunner(): CommandRunner {
  return {
    async run(program, args, stdin) {
      const result = await execa(program, [...args], {
        input: stdin,
        env: ENVIRONMENT,
        extendEnv: false,
        reject: false,
        stripFinalNewline: false,
        timeout: TIMEOUT_MS,
        maxBuffer: MAX_OUTPUT_BYTES,
      });
      const failure = result.timedOut ? 'timeout' : (result.code ?? null);
      return { exitCode: result.exitCode ?? null, stdout: result.stdout, stderr: result.stderr, failure };
    },
  };
}
