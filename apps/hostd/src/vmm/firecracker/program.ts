import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { judgeElf, parseFirecrackerVersion } from '@mvm/node-host';
import { CodedError, isCodedError } from '@mvm/protocol';
import { execa } from 'execa';
import { requireTrustedDirectory } from '../../state/trusted-directory.js';
import { findProgram } from '../process/find-program.js';

/** Firecracker or its jailer, as it is installed. */
export interface Program {
  /** Absolute, without symbolic links. */
  readonly path: string;
  /** e.g. `1.12.1`. */
  readonly version: string;
  /** Of the file, in hex. */
  readonly sha256: string;
}

/** More than an ELF program's header and its table of segments. */
const HEADER_BYTES = 4096;
const WRITABLE_FOR_OTHERS = 0o022;

/** The two programs of a release. */
export interface Programs {
  readonly firecracker: Program;
  readonly jailer: Program;
}

/**
 * Finds out about both programs. Throws `failed_precondition`: `vmm.missing`, `vmm.unsafe_program`, `vmm.not_static`,
 * `vmm.wrong_architecture`, `vmm.unknown_version` when they are of different releases.
 */
export function createProgramsReader(
  firecracker = 'firecracker',
  jailer = 'jailer',
): () => Promise<Programs> {
  const readFirecracker = createProgramReader('firecracker', firecracker);
  const readJailer = createProgramReader('jailer', jailer);
  return async () => {
    const [first, second] = await Promise.all([readFirecracker(), readJailer()]);
    if (first.version === second.version) return { firecracker: first, jailer: second };
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'vmm.unknown_version',
      message: `firecracker is ${first.version} and its jailer ${second.version}`,
      hint: 'Install both from the same release: docs/firecracker.md.',
    });
  };
}

/** Finds out about a program, and looks at it again only when its file is another one. */
function createProgramReader(name: 'firecracker' | 'jailer', binary: string): () => Promise<Program> {
  let known: { readonly file: string; readonly program: Promise<Program> } | null = null;
  return async () => {
    const found = await findProgram(binary);
    if (found === null) throw missing(name, binary);
    const path = await realpath(found);
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    const file = [path, dev, ino, size, mtimeNs, ctimeNs].join(' ');
    if (known?.file === file) return await known.program;
    const program = inspect(name, path);
    const mine = { file, program };
    known = mine;
    program.catch(() => {
      if (known === mine) known = null;
    });
    return await program;
  };
}

/** Throws `vmm.unsafe_program`, `vmm.not_static`, `vmm.wrong_architecture`, `vmm.missing`. */
async function inspect(name: string, path: string): Promise<Program> {
  const { uid, mode } = await stat(path);
  if (uid !== 0 || (mode & WRITABLE_FOR_OTHERS) !== 0) {
    const why = uid !== 0 ? `belongs to user ${uid}` : 'can be written by others than root';
    throw unsafe(name, `${path} ${why}`, `chown root:root ${path} && chmod 0755 ${path}`);
  }
  await requireTrustedDirectory(dirname(path), { shared: true }).catch((error: unknown) => {
    throw isCodedError(error) ? unsafe(name, error.message, 'Install it to /usr/local/bin.') : error;
  });
  const file = await open(path, 'r');
  try {
    await checkElf(name, path, file);
  } finally {
    await file.close();
  }
  const version = await askVersion(name, path);
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return { path, version, sha256: hash.digest('hex') };
}

async function checkElf(name: string, path: string, file: FileHandle): Promise<void> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
  const problem = judgeElf(buffer.subarray(0, bytesRead), process.arch);
  if (problem === null) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: problem.reason,
    message: `${path} is not a ${name} that this host can run in a jail: ${problem.why}`,
    hint: `Install the program of Firecracker's release for this host: docs/firecracker.md.`,
    details: { path },
  });
}

async function askVersion(name: string, path: string): Promise<string> {
  const result = await execa(path, ['--version'], { reject: false, stdin: 'ignore', timeout: 30_000 });
  const version = parseFirecrackerVersion(result.stdout);
  if (version !== null) return version;
  throw missing(name, path, result);
}

function unsafe(name: string, why: string, hint: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.unsafe_program',
    message: `hostd does not run ${name} as root: ${why}`,
    hint,
  });
}

function missing(name: string, binary: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.missing',
    message: `${binary} is not installed, or is no ${name}`,
    hint: 'Install firecracker and jailer of the same release in /usr/local/bin: docs/firecracker.md.',
    details: { binary },
    cause,
  });
}
