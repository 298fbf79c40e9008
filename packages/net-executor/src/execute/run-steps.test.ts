import { expect, it } from 'vitest';
import type { CommandResult, CommandRunner } from '../command/command-runner.js';
import { runSteps } from './run-steps.js';

const ADDRESS = '10.240.3.5';
const forget = { kind: 'flows.forget', address: ADDRESS } as const;

// As conntrack-tools 1.4.7 ends.
const NONE = {
  exitCode: 1,
  stderr: 'conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.\n',
};
const SOME = {
  exitCode: 0,
  stderr: 'conntrack v1.4.7 (conntrack-tools): 3 flow entries have been deleted.\n',
};
const VANISHED = {
  exitCode: 1,
  stderr: "conntrack v1.4.7 (conntrack-tools): Operation failed: such conntrack doesn't exist\n",
};
const REFUSED = { exitCode: 1, stderr: 'conntrack v1.4.7 (conntrack-tools): Operation failed: sorry\n' };

/** A `conntrack` that ends so, one call of `--orig-src` after the other, the last again and again. */
function conntrackThat(...endings: readonly Pick<CommandResult, 'exitCode' | 'stderr'>[]) {
  const calls: string[] = [];
  const left = [...endings];
  const runner: CommandRunner = {
    run: async (program, args) => {
      calls.push([program, ...args].join(' '));
      const ending = args.includes('--orig-src') ? (left.length > 1 ? left.shift() : left[0]) : NONE;
      return { stdout: '', failure: null, ...(ending ?? NONE) };
    },
  };
  return { runner, runs: () => calls.filter((call) => call === `conntrack -D --orig-src ${ADDRESS}`).length };
}

it.each([
  ['some', [SOME], 1],
  ['none', [NONE], 1],
  ['one that ended by itself meanwhile, then the rest', [VANISHED, VANISHED, SOME], 3],
  ['ones that go on ending by themselves', [VANISHED], 10],
])('ends the connections of an address: %s', async (_what, endings, runs) => {
  const conntrack = conntrackThat(...endings);
  await runSteps([forget], conntrack.runner);
  expect(conntrack.runs()).toBe(runs);
});

it('fails when the kernel refuses', async () => {
  const conntrack = conntrackThat(VANISHED, REFUSED);
  await expect(runSteps([forget], conntrack.runner)).rejects.toMatchObject({
    reason: 'net.conntrack_failed',
  });
  expect(conntrack.runs()).toBe(2);
});

it('goes on without, and tells, when connections may be left', async () => {
  const conntrack = conntrackThat(REFUSED);
  const left: string[] = [];
  const tell = ({ reason }: { reason: string }) => left.push(reason);
  expect(await runSteps([forget], conntrack.runner, tell)).toEqual([]);
  expect(left).toEqual(['net.conntrack_failed']);
  expect(await runSteps([forget], conntrackThat(SOME).runner, tell)).toEqual([forget]);
  expect(left.length).toBe(1);
});
