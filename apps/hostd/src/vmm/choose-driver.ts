import { CodedError, isCodedError } from '@mvm/protocol';
import type { Logger } from 'pino';
import { detectAccelerator } from './accelerator.js';
import { combineDrivers } from './drivers.js';
import { createFirecrackerVmm } from './firecracker/driver.js';
import { createProgramsReader, type Programs } from './firecracker/program.js';
import { type GuestProof, proveFirecracker } from './firecracker/prove.js';
import type { BoundLog } from './process/bound-log.js';
import { createQemuVmm } from './qemu/driver.js';
import type { Vmm } from './vmm.js';

export interface DriverChoice {
  /** `auto`: Firecracker where it is installed and a guest really runs in it, else QEMU. */
  readonly vmm: 'auto' | 'qemu' | 'firecracker';
  readonly qemuBinary: string;
  readonly firecrackerBinary: string;
  readonly jailerBinary: string;
  readonly vmNamespaces: 'own' | 'host';
  readonly logLimitBytes: number;
  readonly boundLog: BoundLog;
  readonly logger: Logger;
  /** For the proof that a guest runs: root's, gone with the boot. */
  readonly proofDir: string;
  /** User and group of the guest that proves it. */
  readonly proofUid: number;
}

/** The drivers of this host. What it has chosen, and why, is in the log. */
export async function chooseDrivers(choice: DriverChoice): Promise<Vmm> {
  const { logger, boundLog, logLimitBytes } = choice;
  const programs = createProgramsReader(choice.firecrackerBinary, choice.jailerBinary);
  const qemu = createQemuVmm({
    binary: choice.qemuBinary,
    namespaces: choice.vmNamespaces,
    ...{ logger, logLimitBytes, boundLog },
  });
  const firecrackerWith = (acceleratorReason: string): Vmm =>
    createFirecrackerVmm({ logger, logLimitBytes, boundLog, programs, acceleratorReason });
  const known = firecrackerWith('Firecracker runs guests on the CPU alone');
  // Older instances may run in it all the same.
  if (choice.vmm === 'qemu') {
    const firecracker = { usable: false, reason: 'not tried: vmm is set to "qemu"' };
    return combineDrivers({ first: qemu, others: [known], firecracker });
  }
  const proof = await prove(choice, programs);
  if ('evidence' in proof) {
    logger.info({ evidence: proof.evidence }, 'Firecracker runs guests on this host');
    return combineDrivers({
      first: firecrackerWith(proof.evidence),
      others: [qemu],
      firecracker: { usable: true, reason: proof.evidence },
      // Whoever asks for Firecracker alone gets nothing else.
      forEncrypted: choice.vmm === 'auto' ? qemu : null,
    });
  }
  const firecracker = { usable: false, reason: proof.problem.message };
  if (choice.vmm === 'auto') {
    if (proof.problem.reason !== 'vmm.missing')
      logger.warn(
        { err: proof.problem },
        'Firecracker is installed and cannot be used: QEMU runs the guests',
      );
    return combineDrivers({ first: qemu, others: [known], firecracker });
  }
  logger.error(
    { err: proof.problem },
    'Firecracker cannot be used: no instance starts until hostd is restarted',
  );
  return combineDrivers({ first: known, others: [qemu], problem: proof.problem, firecracker });
}

async function prove(
  { proofDir, proofUid }: DriverChoice,
  programs: () => Promise<Programs>,
): Promise<GuestProof> {
  try {
    // Whether it is installed comes before what its host lacks.
    await programs();
    const { accelerator, reason } = await detectAccelerator();
    if (accelerator !== 'kvm') return { problem: kvmUnusable(reason) };
    return await proveFirecracker({ programs, directory: proofDir, uid: proofUid });
  } catch (error) {
    if (isCodedError(error)) return { problem: error };
    throw error;
  }
}

function kvmUnusable(why: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.kvm_unusable',
    message: `Firecracker needs KVM: ${why}`,
    hint: 'Use a host with hardware virtualisation (in a VM: nested), load kvm_intel or kvm_amd, then restart hostd; or set vmm to "qemu".',
  });
}
