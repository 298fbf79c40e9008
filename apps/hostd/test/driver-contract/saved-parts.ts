import type { RestoredPart, SavedPart } from '../../src/vmm/vmm.js';

/** A part of a saved VM in memory. */
export interface KeptPart {
  readonly name: string;
  readonly bytes: Buffer;
}

/** All that a driver saves. */
export async function keepParts(parts: AsyncIterable<SavedPart>): Promise<KeptPart[]> {
  const kept: KeptPart[] = [];
  for await (const { name, bytes } of parts) {
    const pieces: Uint8Array[] = [];
    for await (const piece of bytes) pieces.push(Uint8Array.from(piece));
    kept.push({ name, bytes: Buffer.concat(pieces) });
  }
  return kept;
}

/** The same, for a driver to restore. */
export function givenBack(kept: readonly KeptPart[]): RestoredPart[] {
  return kept.map(({ name, bytes }) => ({ name, bytes: inPieces(bytes), file: null }));
}

async function* inPieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}
