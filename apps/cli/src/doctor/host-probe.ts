import { execFile } from 'node:child_process';
import { constants, type StatsFs } from 'node:fs';
import { access, open, readdir, readFile, realpath, stat, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';

/** What a program printed; `missing` when there is none of that name. */
export type ToolAnswer =
  | { readonly kind: 'missing' }
  | { readonly kind: 'ran'; readonly exitCode: number; readonly output: string };

export interface ProgramFile {
  /** Absolute, without symbolic links. */
  readonly path: string;
  readonly uid: number;
  readonly mode: number;
  readonly head: Buffer;
}

/** Everything that the checks look at on this host; reads only. */
export interface HostProbe {
  readonly nodeVersion: string;
  readonly kernelRelease: string;
  /** As Node names it: `x64`, `arm64`. */
  readonly arch: string;
  readonly uid: number;
  readonly groups: readonly number[];
  /** A text file's content, or undefined when there is none. */
  readText(path: string): Promise<string | undefined>;
  /** Names in a directory, sorted; none when it is not there or may not be read. */
  list(path: string): Promise<string[]>;
  /** `ok`, or the errno of opening it for reading and writing. */
  openReadWrite(path: string): Promise<string>;
  /** `socket`, `character device`, `other`, or `absent`. */
  kindOf(path: string): Promise<'socket' | 'device' | 'other' | 'absent' | 'unreadable'>;
  /** Bytes that a user may still write where `path` is or would be. */
  freeBytes(path: string): Promise<number>;
  /** Inodes that are left where `path` is or would be; null when its file system does not count them. */
  freeInodes(path: string): Promise<number | null>;
  /** Whether others than root can change what is in a directory, by the rules of hostd; false when it is not there. */
  isOpenToOthers(path: string): Promise<boolean>;
  /** Owner, mode and first 4096 bytes of a program, links followed; null when there is none of that name. */
  program(name: string): Promise<ProgramFile | null>;
  /** Runs a program of this host with a time limit; without a shell. */
  run(program: string, args: readonly string[]): Promise<ToolAnswer>;
  /** As `run`, with both streams apart and whole; null when there is no such program. */
  read(
    program: string,
    args: readonly string[],
  ): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string } | null>;
}

const TOOL_TIMEOUT_MS = 5000;
const MAX_ANSWER_BYTES = 64 * 1024;
/** Rules of other software; hosts with thousands of containers have some MB. */
const MAX_LISTING_BYTES = 64 * 1024 * 1024;
/** Where programs for root live, which an ordinary user's PATH leaves out. */
const SYSTEM_DIRS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];

/** Probes the host that this process runs on. */
export function createHostProbe(env: Readonly<Record<string, string | undefined>>): HostProbe {
  return {
    nodeVersion: process.version,
    kernelRelease: release(),
    arch: process.arch,
    uid: process.getuid?.() ?? -1,
    groups: process.getgroups?.() ?? [],
    readText: async (path) => {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return undefined;
        throw error;
      }
    },
    list: async (path) => (await readdir(path).catch(() => [])).sort(),
    openReadWrite: async (path) => {
      try {
        await (await open(path, constants.O_RDWR | constants.O_NONBLOCK)).close();
        return 'ok';
      } catch (error) {
        return errnoOf(error);
      }
    },
    kindOf: async (path) => {
      try {
        const found = await stat(path);
        return found.isSocket() ? 'socket' : found.isCharacterDevice() ? 'device' : 'other';
      } catch (error) {
        return errnoOf(error) === 'EACCES' ? 'unreadable' : 'absent';
      }
    },
    freeBytes: async (path) => {
      const { bavail, bsize } = await nearestFileSystem(path);
      return bavail * bsize;
    },
    freeInodes: async (path) => {
      const { files, ffree } = await nearestFileSystem(path);
      return files === 0 ? null : ffree;
    },
    isOpenToOthers: async (path) => {
      const found = await stat(path).catch(() => null);
      if (found === null) return false;
      return found.uid !== 0 || ((found.mode & 0o022) !== 0 && (found.mode & 0o1000) === 0);
    },
    program: async (name) => {
      const found = await findProgram(name, env.PATH ?? '');
      if (found === undefined) return null;
      const file = await open(found, 'r');
      try {
        const [{ uid, mode }, { buffer, bytesRead }, path] = await Promise.all([
          file.stat(),
          file.read(Buffer.alloc(4096), 0, 4096, 0),
          realpath(found),
        ]);
        return { path, uid, mode, head: buffer.subarray(0, bytesRead) };
      } finally {
        await file.close();
      }
    },
    run: async (program, args) => {
      const path = await findProgram(program, env.PATH ?? '');
      if (path === undefined) return { kind: 'missing' };
      const { exitCode, stdout, stderr } = await execute(path, args, MAX_ANSWER_BYTES);
      return { kind: 'ran', exitCode, output: `${stdout}${stderr}`.trim() };
    },
    read: async (program, args) => {
      const path = await findProgram(program, env.PATH ?? '');
      return path === undefined ? null : execute(path, args, MAX_LISTING_BYTES);
    },
  };
}

async function findProgram(program: string, path: string): Promise<string | undefined> {
  for (const dir of [...path.split(':'), ...SYSTEM_DIRS]) {
    if (!dir.startsWith('/')) continue;
    const candidate = join(dir, program);
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

function execute(
  path: string,
  args: readonly string[],
  maxBuffer: number,
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const options = { timeout: TOOL_TIMEOUT_MS, maxBuffer, env: { LC_ALL: 'C' } };
    execFile(path, [...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ exitCode: code, stdout, stderr });
    });
  });
}

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

/** Of a path, or of the nearest directory above it that is there. */
async function nearestFileSystem(path: string): Promise<StatsFs> {
  for (let at = path; ; at = dirname(at)) {
    try {
      return await statfs(at);
    } catch (error) {
      if (at === dirname(at)) throw error;
    }
  }
}
