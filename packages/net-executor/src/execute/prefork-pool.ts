import type { CommandRunner, PreparedCommand, Program } from '../command/command-runner.js';

/** What a request runs: a look at its links, its nftables transaction, its links. */
const KEPT: readonly { readonly program: Program; readonly args: readonly string[] }[] = [
  { program: 'nft', args: ['-f', '-'] },
  { program: 'ip', args: ['-batch', '-'] },
  { program: 'bridge', args: ['-batch', '-'] },
  { program: 'ip', args: ['-j', '-d', '-force', '-batch', '-'] },
];
/** After so long without a request spares are started, one at a time: starting one holds this process up for 2 ms. */
export const REFILL_DELAY_MS = 20;

/** A runner that keeps programs ready. */
export interface PreforkPool extends CommandRunner {
  /** Starts what is missing soon; nothing when the runner below cannot prepare programs. */
  refill(): void;
  /** Lets the spares end with nothing to do; no more are kept. */
  close(): void;
}

function isReady(spare: PreparedCommand | undefined): spare is PreparedCommand {
  return spare !== undefined && !spare.ended();
}

function keyOf(program: Program, args: readonly string[]): string {
  return [program, ...args].join(' ');
}

/**
 * Keeps one of each program that a request needs started, waiting for its script, because to start one takes longer than
 * what it does. A spare does one script, as any other; a spare that has ended meanwhile, or none in time, and the program
 * is started as ever. They belong to the network namespace in which this process was when it started them.
 */
export function createPreforkPool(runner: CommandRunner): PreforkPool {
  const prepare = runner.prepare?.bind(runner);
  const idle = new Map<string, PreparedCommand>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  /** Each is tried once: what cannot be started now is started, or fails, when it is needed. */
  function startSoon(left: typeof KEPT): void {
    clearTimeout(timer);
    const [first, ...others] = left.filter(({ program, args }) => !isReady(idle.get(keyOf(program, args))));
    if (closed || first === undefined || prepare === undefined) return;
    timer = setTimeout(() => {
      const { program, args } = first;
      idle.set(keyOf(program, args), prepare(program, args));
      startSoon(others);
    }, REFILL_DELAY_MS).unref();
  }

  const refill = () => startSoon(KEPT);

  function take(program: Program, args: readonly string[]): PreparedCommand | null {
    const key = keyOf(program, args);
    const command = idle.get(key);
    if (!idle.delete(key)) return null;
    refill();
    return isReady(command) ? command : null;
  }

  return {
    run: (program, args, stdin) => take(program, args)?.run(stdin) ?? runner.run(program, args, stdin),
    ...(prepare && { prepare: (program, args) => take(program, args) ?? prepare(program, args) }),
    refill,
    close() {
      closed = true;
      clearTimeout(timer);
      for (const command of idle.values()) command.cancel();
      idle.clear();
    },
  };
}
