import type { Accelerator } from '../vmm/vmm.js';
import type { InstanceAddress } from './layout.js';

/** A registered image, by what it is called and by what it is. */
export interface ImageName {
  readonly name: string;
  readonly digest: string;
}

/** The image that an instance boots: what of it matters to a plan. */
export interface PlannedImage extends ImageName {
  readonly hasInitrd: boolean;
  readonly kernelArgs: string;
}

/** Everything that decides how a VMM is launched; paths follow from the address and the digest. */
export interface LaunchArgs {
  readonly address: InstanceAddress;
  readonly vmId: string;
  readonly image: PlannedImage;
  readonly vcpus: number;
  readonly memMib: number;
  readonly hasDataDisk: boolean;
  /** Absent: no. A woken guest has the drive exactly when it had it before. */
  readonly hasSecretsDrive?: boolean;
  readonly mac: string;
  readonly uid: number;
  readonly accelerator: Accelerator;
}
