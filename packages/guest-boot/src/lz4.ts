import type { CodedError } from '@mvm/protocol';
import { kernelUnusable } from './errors.js';

const LEGACY_MAGIC = 0x184c2102;

/**
 * Decode an LZ4 legacy frame (magic 0x184c2102, then blocks of u32 length and data) into exactly `outputBytes` bytes.
 * Bytes after the last block that fills the output are ignored. Throws `kernel.unusable` on malformed input.
 * Source: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md and lz4_Block_format.md.
 */
export function decodeLz4Legacy(input: Buffer, outputBytes: number): Buffer {
  if (input.length < 8 || input.readUInt32LE(0) !== LEGACY_MAGIC) throw malformed('no LZ4 magic');
  const output = Buffer.allocUnsafe(outputBytes);
  let written = 0;
  let offset = 4;
  while (written < outputBytes) {
    if (offset + 4 > input.length) throw malformed('it ends early');
    const length = input.readUInt32LE(offset);
    offset += 4;
    if (offset + length > input.length) throw malformed('a block ends early');
    written = decodeBlock(input.subarray(offset, offset + length), output, written);
    offset += length;
  }
  return output;
}

/** Decode one block to `output` from `start`; returns where it ended. Matches may reach back to `start` only. */
function decodeBlock(block: Buffer, output: Buffer, start: number): number {
  let at = start;
  let i = 0;
  const next = (): number => {
    const byte = block[i];
    if (byte === undefined) throw malformed('a block ends early');
    i += 1;
    return byte;
  };
  const extended = (nibble: number): number => {
    let length = nibble;
    if (nibble === 15) {
      let byte: number;
      do {
        byte = next();
        length += byte;
      } while (byte === 255);
    }
    return length;
  };
  while (i < block.length) {
    const token = next();
    const literals = extended(token >> 4);
    if (i + literals > block.length || at + literals > output.length) throw malformed('literals overrun');
    block.copy(output, at, i, i + literals);
    i += literals;
    at += literals;
    if (i === block.length) break;
    const distance = next() | (next() << 8);
    const matchLength = extended(token & 15) + 4;
    if (distance === 0 || at - distance < start || at + matchLength > output.length) {
      throw malformed('a match overruns');
    }
    if (distance >= matchLength) {
      output.copyWithin(at, at - distance, at - distance + matchLength);
      at += matchLength;
    } else {
      // The match overlaps what it writes: byte by byte is what the format means.
      for (const end = at + matchLength; at < end; at += 1) output[at] = output[at - distance] ?? 0;
    }
  }
  return at;
}

function malformed(what: string): CodedError {
  return kernelUnusable(
    `the kernel's compressed part is malformed: ${what}`,
    'Remove the image cache and build again; if it persists, report the kernel package.',
  );
}
