import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

/** `int flock(fd, operation)`: 0, or -1 with errno. Source: flock(2). */
export const flock = libc.func('int flock(int, int)') as unknown as (fd: number, operation: number) => number;

const fcntl = libc.func('int fcntl(int, int, ...)') as unknown as (
  fd: number,
  command: number,
  type: 'void *',
  argument: Buffer,
) => number;
const F_OFD_SETLK = 37;
const F_WRLCK = 1;

/**
 * Locks `length` bytes of a file that is open for writing, for this open file alone: 0, or -1 with errno (`EAGAIN`: another
 * has one of them). The bytes need not exist. Source: fcntl(2), open file description locks.
 */
export function lockBytes(fd: number, offset: number, length: number): number {
  // struct flock of 64-bit Linux: type, whence, start, length, pid.
  const flock = Buffer.alloc(32);
  flock.writeInt16LE(F_WRLCK, 0);
  flock.writeBigInt64LE(BigInt(offset), 8);
  flock.writeBigInt64LE(BigInt(length), 16);
  return fcntl(fd, F_OFD_SETLK, 'void *', flock);
}

/** `int socket(domain, type, protocol)`: a file descriptor, or -1 with errno. Source: socket(2). */
export const openSocket = libc.func('int socket(int, int, int)') as unknown as (
  domain: number,
  type: number,
  protocol: number,
) => number;

/** `sendto`: bytes sent, or -1 with errno. Source: sendto(2). */
export const sendto = libc.func('int64_t sendto(int, void *, size_t, int, void *, uint32_t)') as unknown as (
  fd: number,
  data: Buffer,
  length: number,
  flags: number,
  address: Buffer,
  addressLength: number,
) => number;

/** `int ioctl(fd, request, argument)`: 0 or more, or -1 with errno. Source: ioctl(2). */
export const ioctl = libc.func('int ioctl(int, unsigned long, void *)') as unknown as (
  fd: number,
  request: number,
  argument: Buffer,
) => number;

/** `int close(fd)`. Source: close(2). */
export const closeDescriptor = libc.func('int close(int)') as unknown as (fd: number) => number;

/** `int close_range(first, last, flags)`: 0, or -1 with errno. Source: close_range(2). */
export const closeRange = libc.func('int close_range(unsigned int, unsigned int, int)') as unknown as (
  first: number,
  last: number,
  flags: number,
) => number;

/** `int setrlimit(resource, limit)`: 0, or -1 with errno. Source: setrlimit(2). */
export const setrlimit = libc.func('int setrlimit(int, void *)') as unknown as (
  resource: number,
  limit: BigUint64Array,
) => number;

/** `int pipe2(fds, flags)`: 0 and the reading and the writing end, or -1 with errno. Source: pipe(2). */
const pipe2 = libc.func('int pipe2(void *, int)') as unknown as (ends: Int32Array, flags: number) => number;
const lseek = libc.func('int64_t lseek(int, int64_t, int)') as unknown as (
  fd: number,
  offset: number,
  whence: number,
) => number | bigint;

const O_CLOEXEC = 0o2000000;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** A pipe whose ends no child inherits by itself. Throws with errno. Source: pipe(2). */
export function makePipe(): { readonly readFd: number; readonly writeFd: number } {
  const ends = new Int32Array(2);
  if (pipe2(ends, O_CLOEXEC) !== 0) throw new Error(`cannot make a pipe: ${lastErrorName()}`);
  return { readFd: ends[0] as number, writeFd: ends[1] as number };
}

/**
 * The parts of a file that are not holes, in order, below `size`. A file system that knows no holes has one part. Throws
 * with errno. Source: lseek(2).
 */
export function* dataExtents(
  fd: number,
  size: number,
): Generator<{ readonly start: number; readonly end: number }> {
  for (let at = 0; at < size; ) {
    const start = Number(lseek(fd, at, SEEK_DATA));
    if (start < 0) {
      // ENXIO: nothing but a hole follows.
      if (lastErrorName() === 'ENXIO') return;
      throw new Error(`cannot look for data: ${lastErrorName()}`);
    }
    const end = Math.min(size, Number(lseek(fd, start, SEEK_HOLE)));
    if (end <= start) throw new Error(`cannot look for holes: ${lastErrorName()}`);
    yield { start, end };
    at = end;
  }
}

/** errno of the last failed call in this thread, by name (`EWOULDBLOCK` is `EAGAIN`), or `errno <n>`. */
export function lastErrorName(): string {
  const number = koffi.errno();
  const found = Object.entries(koffi.os.errno).find(([, value]) => value === number);
  return found?.[0] ?? `errno ${number}`;
}

/** `int unshare(flags)`: 0, or -1 with errno. Source: unshare(2). */
export const unshare = libc.func('int unshare(int)') as unknown as (flags: number) => number;

/** `int setns(fd, kind)`: 0, or -1 with errno. Source: setns(2). */
export const setns = libc.func('int setns(int, int)') as unknown as (fd: number, kind: number) => number;

/** `int mount(source, target, type, flags, options)`: 0, or -1 with errno. Source: mount(2). */
export const mount = libc.func(
  'int mount(const char *, const char *, const char *, unsigned long, const char *)',
) as unknown as (
  source: string | null,
  target: string,
  type: string | null,
  flags: number,
  options: string | null,
) => number;

/** `int fchdir(fd)`: 0, or -1 with errno. Source: chdir(2). */
export const fchdir = libc.func('int fchdir(int)') as unknown as (fd: number) => number;

/** `int chroot(path)`: 0, or -1 with errno. Source: chroot(2). */
export const chroot = libc.func('int chroot(const char *)') as unknown as (path: string) => number;

const prlimit64 = libc.func('int prlimit64(int, int, void *, void *)') as unknown as (
  pid: number,
  resource: number,
  wanted: BigUint64Array,
  before: null,
) => number;

/** Soft and hard limit of another process: 0, or -1 with errno. Source: prlimit(2). */
export function prlimit(pid: number, resource: number, limit: bigint): number {
  return prlimit64(pid, resource, new BigUint64Array([limit, limit]), null);
}

/** `int fallocate(fd, mode, offset, length)`: 0, or -1 with errno. Source: fallocate(2). */
export const fallocate = libc.func('int fallocate(int, int, int64_t, int64_t)') as unknown as (
  fd: number,
  mode: number,
  offset: number,
  length: number,
) => number;
