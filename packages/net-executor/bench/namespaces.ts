import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';

const CLONE_NEWNS = 0x00020000;
const CLONE_NEWNET = 0x40000000;
const libc = koffi.load('libc.so.6');
const unshare = libc.func('int unshare(int flags)');
const setns = libc.func('int setns(int fd, int type)');

/** A network namespace that this process can step into; it goes away with the process. */
export interface Namespace {
  enter(): void;
  close(): void;
}

/** Makes a network namespace with an uplink `up0` (198.51.100.1/24) and a default route, and steps into it. */
export function makeNamespace(): Namespace {
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) !== 0)
    throw new Error('needs root: cannot make a network namespace');
  const fd = openSync('/proc/thread-self/ns/net', 'r');
  const ip = (...args: string[]) => execFileSync('ip', args);
  ip('link', 'set', 'lo', 'up');
  ip('tuntap', 'add', 'dev', 'up0', 'mode', 'tap');
  ip('address', 'add', '198.51.100.1/24', 'dev', 'up0');
  ip('link', 'set', 'up0', 'up');
  ip('route', 'add', 'default', 'via', '198.51.100.2');
  return {
    enter() {
      if (setns(fd, CLONE_NEWNET) !== 0) throw new Error('setns failed');
    },
    close: () => closeSync(fd),
  };
}
