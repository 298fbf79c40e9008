import { type CommandRunner, createCommandRunner, type Program } from '../../src/observe/index.js';

/** What was run, and its script. */
export interface Call {
  readonly program: Program;
  readonly args: readonly string[];
  readonly stdin: string;
}

/** The real runner, which writes down every call that could change something, and can be told to spoil some. */
export interface SpoilableRunner extends CommandRunner {
  /** Calls of `ip -batch -` and `nft -f -`, in order. */
  readonly changes: Call[];
  /** Rewrites the script of a changing call before it is run; null leaves it. */
  spoil: ((call: Call) => string | null) | null;
}

export function createSpoilableRunner(): SpoilableRunner {
  const real = createCommandRunner();
  const changes = (program: Program, args: readonly string[]) =>
    program === 'nft' ? args[0] === '-f' : args[0] === '-batch';
  const runner: SpoilableRunner = {
    changes: [],
    spoil: null,
    async run(program, args, stdin) {
      const call = { program, args, stdin };
      if (!changes(program, args)) return await real.run(program, args, stdin);
      runner.changes.push(call);
      return await real.run(program, args, runner.spoil?.(call) ?? stdin);
    },
    prepare(program, args) {
      const waiting = real.prepare?.(program, args);
      if (waiting === undefined) throw new Error('the real runner prepares commands');
      return {
        run(stdin) {
          const call = { program, args, stdin };
          if (changes(program, args)) runner.changes.push(call);
          return waiting.run(runner.spoil?.(call) ?? stdin);
        },
        cancel: waiting.cancel,
        ended: waiting.ended,
      };
    },
  };
  return runner;
}
