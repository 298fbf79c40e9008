import { open, readFile } from 'node:fs/promises';
import { errnoOf } from '../state/fs-error.js';
import type { Accelerator } from './vmm.js';

/** What runs the guests, and why. */
export interface Acceleration {
  readonly accelerator: Accelerator;
  /** In words, for a log and for `HostInfo`. */
  readonly reason: string;
}

/**
 * Whether guests run on the CPU (`kvm`) or are emulated (`tcg`). KVM counts when /dev/kvm opens and the CPU shows `vmx`
 * or `svm`, or the machine is arm64: some virtual machines offer a /dev/kvm that cannot run a stock kernel, and their
 * CPU flags tell. Never throws. PRIVILEGE: /dev/kvm usually belongs to root or the group `kvm`.
 */
export async function detectAccelerator(): Promise<Acceleration> {
  let openError: string | null = null;
  try {
    await (await open('/dev/kvm', 'r+')).close();
  } catch (error) {
    openError = errnoOf(error) ?? 'unknown error';
  }
  const cpuInfo = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  return judgeAcceleration({ openError, flags: cpuFlags(cpuInfo), arch: process.arch });
}

/** The decision of `detectAccelerator`, from what was found. Pure. */
export function judgeAcceleration(found: {
  /** The errno name with which /dev/kvm did not open, or null when it did. */
  readonly openError: string | null;
  readonly flags: ReadonlySet<string>;
  /** As `process.arch` has it. */
  readonly arch: string;
}): Acceleration {
  if (found.openError === 'ENOENT') return { accelerator: 'tcg', reason: 'this host has no /dev/kvm' };
  if (found.openError !== null) {
    return { accelerator: 'tcg', reason: `/dev/kvm does not open (${found.openError})` };
  }
  if (found.arch === 'arm64') return { accelerator: 'kvm', reason: '/dev/kvm opens' };
  for (const flag of ['vmx', 'svm']) {
    if (found.flags.has(flag)) {
      return { accelerator: 'kvm', reason: `/dev/kvm opens and the CPU shows ${flag}` };
    }
  }
  return { accelerator: 'tcg', reason: '/dev/kvm opens, but the CPU shows neither vmx nor svm' };
}

/** Flags of the first processor in the text of /proc/cpuinfo (`flags` on x86, `Features` on arm). Pure. */
export function cpuFlags(cpuInfo: string): ReadonlySet<string> {
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(cpuInfo)?.[1] ?? '';
  return new Set(line.split(/\s+/).filter((flag) => flag !== ''));
}
