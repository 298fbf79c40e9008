/** What hostd and `mvm doctor` ask of an installed Firecracker and its jailer. */

/** Releases whose snapshots hostd makes and takes, as `major.minor`. */
export const FIRECRACKER_VERSIONS = ['1.12', '1.13', '1.14', '1.15', '1.16'] as const;
export type FirecrackerRelease = (typeof FIRECRACKER_VERSIONS)[number];

/** The release of a version, e.g. of `1.12.1`; null when it is not a known one. Pure. */
export function firecrackerRelease(version: string): FirecrackerRelease | null {
  const minor = version.split('.', 2).join('.');
  return FIRECRACKER_VERSIONS.find((each) => each === minor) ?? null;
}

/** The version in what `firecracker --version` or `jailer --version` prints; null when it is something else. Pure. */
export function parseFirecrackerVersion(output: string): string | null {
  return /^(?:Firecracker|Jailer) v(\d+\.\d+\.\d+\S*)/im.exec(output)?.[1] ?? null;
}

// Source: elf(5).
const ELF_MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
const PT_INTERP = 3;

/** Why a program with this beginning cannot run in a jail, which has no libraries; null when it can. Pure. Source: elf(5). */
export function judgeElf(
  head: Buffer,
  arch: string,
): { readonly reason: 'vmm.wrong_architecture' | 'vmm.not_static'; readonly why: string } | null {
  const isElf64 = head.length >= 64 && head.toString('latin1', 0, 4) === '\x7fELF' && head[4] === 2;
  if (!isElf64) return { reason: 'vmm.wrong_architecture', why: 'it is not a 64-bit ELF program' };
  const machine = head.readUInt16LE(18);
  if (machine !== ELF_MACHINES[arch])
    return { reason: 'vmm.wrong_architecture', why: `it is for ELF machine ${machine}, and this is ${arch}` };
  const table = Number(head.readBigUInt64LE(32));
  const entryBytes = head.readUInt16LE(54);
  for (let index = 0; index < head.readUInt16LE(56); index += 1) {
    const at = table + index * entryBytes;
    if (at + 4 > head.length) break;
    if (head.readUInt32LE(at) === PT_INTERP)
      return { reason: 'vmm.not_static', why: 'it is linked dynamically' };
  }
  return null;
}
