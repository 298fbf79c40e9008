const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;

/**
 * A static ELF64 program for x86-64 with one segment, readable and executable, that is loaded at `base` and entered at the
 * first byte of `code`. The segment is the code; or with `wholeFile` the file, so that the code begins 120 bytes after
 * `base`. Pure. Source: elf(5).
 */
export function renderElf64(code: Buffer, base: number, segment: 'code' | 'wholeFile'): Buffer {
  const start = HEADER_BYTES + SEGMENT_BYTES;
  const program = Buffer.alloc(start + code.length);
  const [offset, size] = segment === 'code' ? [start, code.length] : [0, program.length];
  // ELF64, little endian, version 1, System V.
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]).copy(program);
  program.writeUInt16LE(2, 16); // an executable
  program.writeUInt16LE(62, 18); // for x86-64
  program.writeUInt32LE(1, 20);
  program.writeBigUInt64LE(BigInt(base + start - offset), 24); // entry
  program.writeBigUInt64LE(BigInt(HEADER_BYTES), 32); // segments' table
  program.writeUInt16LE(HEADER_BYTES, 52);
  program.writeUInt16LE(SEGMENT_BYTES, 54);
  program.writeUInt16LE(1, 56);
  program.writeUInt32LE(1, HEADER_BYTES); // loaded
  program.writeUInt32LE(5, HEADER_BYTES + 4); // readable and executable
  program.writeBigUInt64LE(BigInt(offset), HEADER_BYTES + 8);
  program.writeBigUInt64LE(BigInt(base), HEADER_BYTES + 16);
  program.writeBigUInt64LE(BigInt(base), HEADER_BYTES + 24);
  program.writeBigUInt64LE(BigInt(size), HEADER_BYTES + 32);
  program.writeBigUInt64LE(BigInt(size), HEADER_BYTES + 40);
  program.writeBigUInt64LE(4096n, HEADER_BYTES + 48);
  code.copy(program, start);
  return program;
}
