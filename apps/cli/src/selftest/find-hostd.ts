import { accessSync, constants } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { CodedError } from '@mvm/protocol';

const NAME = 'mvm-hostd';

/** hostd's program: the one that is named, else the one beside this tool, else the first in PATH. */
export function findHostd(options: {
  readonly named: string | undefined;
  /** Where this tool itself lies. */
  readonly ownPath: string | undefined;
  readonly path: string | undefined;
}): string {
  const { named, ownPath, path } = options;
  if (named !== undefined) {
    if (isProgram(named)) return resolve(named);
    throw missing(`${named} is no program that can be run`);
  }
  const beside = ownPath === undefined ? [] : [join(dirname(ownPath), NAME)];
  const inPath = (path ?? '').split(delimiter).flatMap((dir) => (dir === '' ? [] : [join(dir, NAME)]));
  const found = [...beside, ...inPath, `/usr/sbin/${NAME}`].find(isProgram);
  if (found === undefined) throw missing(`${NAME} is not found`);
  return resolve(found);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // JavaScript files are run by Node and need not be executable.
    try {
      if (!path.endsWith('.js')) return false;
      accessSync(path, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  }
}

function missing(message: string): CodedError {
  return new CodedError({
    code: 'not_found',
    reason: 'selftest.no_hostd',
    message,
    hint: 'Name the program: mvm selftest --hostd <file>. sudo may have changed PATH.',
  });
}
