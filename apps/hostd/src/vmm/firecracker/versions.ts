import { FIRECRACKER_VERSIONS, type FirecrackerRelease, firecrackerRelease } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';

/** What differs between versions of Firecracker, as far as hostd meets it. */
export interface VersionTraits {
  /**
   * After a pause and a resume without a snapshot in between, the guest takes no new connection over vsock. A snapshot
   * before the resume avoids it. Source: firecracker-microvm/firecracker#6074.
   */
  readonly losesVsockAfterPause: boolean;
}

/** Versions whose snapshots hostd makes and takes, by `major.minor`. 1.12 is the one that the tests run. */
const KNOWN: Readonly<Record<FirecrackerRelease, VersionTraits>> = {
  '1.12': { losesVsockAfterPause: false },
  '1.13': { losesVsockAfterPause: false },
  '1.14': { losesVsockAfterPause: false },
  '1.15': { losesVsockAfterPause: false },
  '1.16': { losesVsockAfterPause: true },
};

/** A version that the table does not have may do what any other does. */
const UNKNOWN: VersionTraits = { losesVsockAfterPause: true };

/** Which versions are known, for a message. */
export const KNOWN_VERSIONS = FIRECRACKER_VERSIONS.join(', ');

/** Whether hostd makes and takes snapshots of a version, e.g. `1.12.1`. Pure. */
export function isKnownVersion(version: string): boolean {
  return firecrackerRelease(version) !== null;
}

/** What to expect of a version. Pure. */
export function traitsOf(version: string): VersionTraits {
  const release = firecrackerRelease(version);
  return release === null ? UNKNOWN : KNOWN[release];
}

/** The error for what hostd does with known versions only. Pure. */
export function unknownVersion(version: string, what: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.unknown_version',
    message: `${what} with Firecracker ${version}: this hostd knows ${KNOWN_VERSIONS}`,
    hint: 'Install one of these versions, or a newer mvm. Instances start and stop with any version.',
    details: { version },
  });
}
