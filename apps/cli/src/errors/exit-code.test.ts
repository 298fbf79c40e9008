import { ERROR_CODES, type ErrorCode } from '@mvm/protocol';
import { expect, it } from 'vitest';
import { exitCodeOf } from './exit-code.js';

/** The table that operators' scripts rely on; a change here is a breaking change. */
const TABLE: readonly (readonly [exit: number, codes: readonly ErrorCode[]])[] = [
  [1, ['internal']],
  [2, ['invalid_argument']],
  [3, ['not_found']],
  [4, ['failed_precondition', 'already_exists', 'aborted']],
  [5, ['permission_denied']],
  [6, ['unavailable']],
  [7, ['resource_exhausted']],
  [8, ['protocol_mismatch', 'unimplemented']],
  [124, ['deadline_exceeded']],
  [130, ['canceled']],
];

it.each(TABLE)('exit %i stands for %j', (exit, codes) => {
  for (const code of codes) expect(exitCodeOf({ code })).toBe(exit);
  const others = (Object.keys(ERROR_CODES) as ErrorCode[]).filter((code) => !codes.includes(code));
  for (const code of others) expect(exitCodeOf({ code })).not.toBe(exit);
});

it('every code has an exit code in the table', () => {
  const listed = TABLE.flatMap(([, codes]) => codes);
  expect([...listed].sort()).toEqual(Object.keys(ERROR_CODES).sort());
});
