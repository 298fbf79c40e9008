import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError, type CodedErrorInit } from '@mvm/protocol';
import { VM_UIDS } from '../vmm/process/vm-processes.js';
import { flock, lastErrorName, lockBytes } from './libc.js';

export interface HostLock {
  /** Unlock; the kernel does the same when the process ends, however it ends. */
  release(): void;
}

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Take the only right to change a state directory: an exclusive flock(2) on `<stateDir>/hostd.lock`, which also holds
 * our pid. Not inherited by children (O_CLOEXEC). Throws `already_exists`, reason `state.locked`, naming the process
 * that has it. Source: flock(2).
 */
export function lockStateDir(stateDir: string): HostLock {
  const path = join(stateDir, 'hostd.lock');
  // 'a+' creates, does not truncate: the file's text is the holder's pid.
  const fd = openSync(path, 'a+', 0o600);
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    const why = lastErrorName();
    const holder = readFileSync(fd, 'utf8').trim();
    closeSync(fd);
    throw new CodedError({
      code: 'already_exists',
      reason: 'state.locked',
      message: `another mvm-hostd (pid ${/^\d+$/.test(holder) ? holder : 'unknown'}) uses ${stateDir} (${why})`,
      hint: 'Stop that one first, or give this one a state_dir, run_dir, socket, cgroup_parent and vm_uid_base of its own, in a network namespace of its own (unshare --net).',
      details: { pid: /^\d+$/.test(holder) ? Number(holder) : null },
    });
  }
  try {
    ftruncateSync(fd, 0);
    writeSync(fd, `${process.pid}\n`);
  } catch {
    // On a full disk the lock holds without the pid, which is for people.
  }
  return { release: () => closeSync(fd) };
}

/**
 * Take the only right to set up tenants' networks in this process's network namespace: an exclusive flock(2) on the
 * namespace itself. Another hostd, with another state, would take the first one's bridges and TAPs for unowned ones and remove
 * them under its running guests. Throws `already_exists`, reason `net.locked`. Source: flock(2), namespaces(7).
 */
export function lockNetwork(): HostLock {
  const fd = openSync('/proc/thread-self/ns/net', 'r');
  return holdLock(fd, flock(fd, LOCK_EX | LOCK_NB), {
    reason: 'net.locked',
    message: 'another mvm-hostd sets up tenants’ networks in this network namespace',
    hint: 'Stop that one first, or start this one in a network namespace of its own (unshare --net) and with a cgroup_parent of its own: each removes what it has not recorded.',
  });
}

/**
 * Take the only right to the VMs' cgroups below `parent`. Another hostd, with another state, would end the first one's VMs
 * as unowned. The lock is on a byte of the hierarchy's own `cgroup.procs`, drawn from the name: the parent itself comes and
 * goes with the VMs, and a lock file would be left. Throws `already_exists`, reason `cgroup.locked`. Source: fcntl(2).
 */
export function lockCgroups(root: string, parent: string): HostLock {
  const fd = openSync(join(root, 'cgroup.procs'), 'r+');
  return holdLock(fd, lockBytes(fd, createHash('sha256').update(parent).digest().readUInt32BE(), 1), {
    reason: 'cgroup.locked',
    message: `another mvm-hostd has its VMs’ cgroups below ${parent}`,
    hint: 'Stop that one first, or give this one a cgroup_parent of its own: each ends what it has not recorded.',
  });
}

/** Behind the bytes that stand for cgroup parents, which have 32 bits. */
const FIRST_UID_BYTE = 2 ** 40;

/**
 * Take the only right to the user ids of VMs from `base` on. The VMMs of two hostds with the same ids could signal each
 * other, and open each other's TAPs. The lock is on a byte of the hierarchy's own `cgroup.procs` for each id: that file is
 * the same in all network, mount and pid namespaces of the host. Throws `already_exists`, reason `uids.locked`. Source:
 * fcntl(2).
 */
export function lockVmUids(root: string, base: number): HostLock {
  const fd = openSync(join(root, 'cgroup.procs'), 'r+');
  return holdLock(fd, lockBytes(fd, FIRST_UID_BYTE + base, VM_UIDS), {
    reason: 'uids.locked',
    message: `another mvm-hostd on this host gives its VMs user ids between ${base} and ${base + VM_UIDS - 1}`,
    hint: `Stop that one first, or give this one a vm_uid_base that is at least ${VM_UIDS} away.`,
    details: { first_uid: base, last_uid: base + VM_UIDS - 1 },
  });
}

/** A lock on an open file that `result`, of the system call, says we have; closes the file and throws otherwise. */
function holdLock(fd: number, result: number, refusal: Omit<CodedErrorInit, 'code'>): HostLock {
  if (result === 0) return { release: () => closeSync(fd) };
  const message = `${refusal.message} (${lastErrorName()})`;
  closeSync(fd);
  throw new CodedError({ ...refusal, code: 'already_exists', message });
}
