import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { GuestImage } from '@mvm/guest-image';
import { execa } from 'execa';

/** What the demo image's first program says when it finds no disk. */
const SIGN_OF_LIFE = 'mvm-guest: no root file system';
const WITHIN_MS = 60_000;

/** Whether KVM runs guests here, and how that is known. */
export interface KvmEvidence {
  readonly works: boolean;
  readonly evidence: string;
}

/**
 * Boots a Linux kernel with KVM, up to its first program. Nothing less is proof: there are machines whose /dev/kvm opens,
 * makes VMs and runs a few instructions of them, and on which no kernel comes up. Never throws.
 */
export async function proveKvm(
  image: Pick<GuestImage, 'kernel' | 'initrd' | 'kernelArgs'>,
): Promise<KvmEvidence> {
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch (error) {
    return { works: false, evidence: `/dev/kvm: ${(error as NodeJS.ErrnoException).code}` };
  }
  const began = performance.now();
  const result = await execa(
    'qemu-system-x86_64',
    [
      ...[
        '-M',
        'microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on,x-option-roms=off,auto-kernel-cmdline=off',
      ],
      ...['-accel', 'kvm', '-cpu', 'host', '-m', '128M', '-nodefaults', '-no-user-config'],
      ...['-display', 'none', '-no-reboot', '-serial', 'stdio'],
      ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', image.kernelArgs],
    ],
    { stdin: 'ignore', timeout: WITHIN_MS, killSignal: 'SIGKILL', reject: false, all: true },
  );
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  if (result.all?.includes(SIGN_OF_LIFE) === true)
    return { works: true, evidence: `a guest reached its first program in ${seconds} s` };
  const words = result.all?.trim().split('\n').at(-1) ?? '';
  const ending = result.timedOut ? `not within ${WITHIN_MS / 1000} s` : `QEMU ended after ${seconds} s`;
  return {
    works: false,
    evidence: `a guest did not reach its first program: ${ending}. ${words.slice(0, 300)}`.trim(),
  };
}
