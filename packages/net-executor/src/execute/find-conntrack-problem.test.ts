import { expect, it } from 'vitest';
import type { CommandResult } from '../command/command-runner.js';
import { findConntrackProblem } from './find-conntrack-problem.js';

const counted: CommandResult = { exitCode: 0, stdout: '12\n', stderr: '', failure: null };

it.each([
  ['works', counted, null],
  ['is missing', { ...counted, exitCode: null, failure: 'ENOENT' }, 'net.tool_missing'],
  ['fails', { ...counted, exitCode: 1, stderr: 'no such module' }, 'net.conntrack_failed'],
])('conntrack %s', async (_what, result, reason) => {
  const problem = await findConntrackProblem({
    run: async (program, args) => {
      expect([program, ...args]).toEqual(['conntrack', '-C']);
      return result;
    },
  });
  expect(problem?.reason ?? null).toBe(reason);
  if (reason !== null) expect(problem?.hint).toContain('package conntrack');
});
