import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CodedError } from '@mvm/protocol';

/**
 * The program of the same hostd that ends itself at failpoints, beside the one that is given. Hosts do not have it: throws
 * `not_found`, reason `selftest.no_crash_hostd`.
 */
export function crashProgramOf(hostd: string): string {
  const program = realpathSync(hostd);
  const name = basename(program).replace(/^mvm-hostd(?=\.js$|$)/, 'mvm-hostd-crash');
  const beside = join(dirname(program), name);
  if (name !== basename(program) && existsSync(beside)) return beside;
  throw new CodedError({
    code: 'not_found',
    reason: 'selftest.no_crash_hostd',
    message: `${hostd} has no mvm-hostd-crash beside it, and only that one ends itself at each step`,
    hint: 'Build mvm from its repository, and name that hostd: mvm selftest --crash --hostd apps/hostd/bin/mvm-hostd.js',
  });
}
