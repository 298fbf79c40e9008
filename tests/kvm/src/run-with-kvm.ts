import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestImage } from '@mvm/guest-image';
import { execa } from 'execa';
import { buildMachine } from './machine/build-machine.js';
import { runInMachine } from './machine/run-in-machine.js';
import { proveKvm } from './prove-kvm.js';

/** Everything takes an emulated machine about 25 times longer, and a busy host more than that. */
const PATIENCE = 10;
const TIMEOUT_MS = 100 * 60_000;
/** Of the emulated machine: what a test leaves in memory, and guests of 100 to 200 MiB. */
const MEMORY_MIB = 2048;

export interface KvmRun {
  /** A directory of the caller's, which the job gets as its argument, and in which it leaves what it found. */
  readonly exchange: string;
  /** For the proof that KVM works. */
  readonly image: Pick<GuestImage, 'kernel' | 'initrd' | 'kernelArgs'>;
  readonly cacheDir: string;
  readonly say: (what: string) => void;
  /** A shell script; time limits in it are to be multiplied by `patience`. */
  job(patience: number): string;
}

/**
 * Runs a shell script as root where KVM works: on this machine, else in an emulated one. `MVM_KVM_MACHINE=always` takes the
 * emulated one in any case. Resolves with the script's exit status; throws when the machine ended before the script.
 */
export async function runWithKvm({ exchange, image, cacheDir, say, job }: KvmRun): Promise<number> {
  const kvm =
    process.env.MVM_KVM_MACHINE === 'always'
      ? { works: false, evidence: 'not tried' }
      : await proveKvm(image);
  say(`KVM on this machine: ${kvm.works ? 'works' : 'does not work'} (${kvm.evidence})`);
  const path = join(exchange, 'job');
  if (kvm.works) {
    writeFileSync(path, job(1));
    const { exitCode } = await execa('sh', [path, exchange], {
      ...{ stdin: 'ignore', stdout: 'inherit', stderr: 'inherit', reject: false },
    });
    return exitCode ?? 128;
  }
  const files = await buildMachine(join(cacheDir, 'kvm'), say);
  writeFileSync(path, job(PATIENCE));
  return await runInMachine(files, exchange, {
    memoryMib: MEMORY_MIB,
    vcpus: 2,
    timeoutMs: TIMEOUT_MS,
    onConsole: (text) => void process.stdout.write(text),
  });
}
