import { stat } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { execa } from 'execa';
import { findProgram } from '../process/find-program.js';

/**
 * Tells a program's version, e.g. `7.2.22`, and asks the program again only when its file is another one: what a running
 * QEMU is, its own greeting tells. Concurrent calls share one
 * run; a failure is not kept. Errors: `vmm.missing`.
 */
export function createVersionReader(binary: string): () => Promise<string> {
  let known: { readonly file: string; readonly version: Promise<string> } | null = null;
  return async () => {
    const file = await fileOf(binary);
    if (file === null) throw missingBinary(binary);
    if (file === known?.file) return await known.version;
    const version = ask(binary);
    const mine = { file, version };
    known = mine;
    version.catch(() => {
      if (known === mine) known = null;
    });
    return await version;
  };
}

/** Which file a program is now, and in what state; null when it is not found. */
async function fileOf(binary: string): Promise<string | null> {
  const path = await findProgram(binary);
  const found = path === null ? null : await stat(path, { bigint: true }).catch(() => null);
  if (found === null) return null;
  return [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ');
}

async function ask(binary: string): Promise<string> {
  const result = await execa(binary, ['--version'], { reject: false, stdin: 'ignore', timeout: 10_000 });
  const version = /version (\d+\.\d+\.\d+)/.exec(result.stdout)?.[1];
  if (version !== undefined) return version;
  throw missingBinary(binary, result);
}

/** The error for a QEMU that is not installed. */
export function missingBinary(binary: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.missing',
    message: `${binary} is not installed`,
    hint: 'Install it: apt-get install qemu-system-x86',
    details: { binary },
    cause,
  });
}
