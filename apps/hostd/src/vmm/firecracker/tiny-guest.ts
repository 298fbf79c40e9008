/**
 * A guest of a few instructions: it writes a line to its serial port and restarts, which ends its Firecracker. That it did
 * shows that the host's KVM runs guests: one that only looks usable answers every call, and never runs an instruction.
 */

/** What it says. */
export const TINY_GUEST_LINE = 'mvm guest runs\n';

/** Where it is loaded: above the first MiB, which belongs to the machine. */
const BASE = 0x20_0000;
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const SERIAL_PORT = [0xf8, 0x03];

/** An ELF64 kernel for x86-64, entered in long mode. Pure. Source: elf(5); Documentation/arch/x86/boot.rst, 64-bit boot protocol. */
export function renderTinyGuest(): Buffer {
  const code = Buffer.from([
    ...[0x66, 0xba, ...SERIAL_PORT], // mov dx, 0x3f8
    ...[...Buffer.from(TINY_GUEST_LINE)].flatMap((character) => [0xb0, character, 0xee]), // mov al, …; out dx, al
    ...[0xb0, 0xfe, 0xe6, 0x64], // mov al, 0xfe; out 0x64, al: the keyboard controller restarts the machine
    ...[0xf4, 0xeb, 0xfd], // hlt; jmp to it
  ]);
  const start = HEADER_BYTES + SEGMENT_BYTES;
  const program = Buffer.alloc(start + code.length);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]).copy(program);
  program.writeUInt16LE(2, 16); // an executable
  program.writeUInt16LE(62, 18); // for x86-64
  program.writeUInt32LE(1, 20);
  program.writeBigUInt64LE(BigInt(BASE), 24); // entry
  program.writeBigUInt64LE(BigInt(HEADER_BYTES), 32); // segments' table
  program.writeUInt16LE(HEADER_BYTES, 52);
  program.writeUInt16LE(SEGMENT_BYTES, 54);
  program.writeUInt16LE(1, 56);
  // One segment: the code, readable and executable.
  program.writeUInt32LE(1, HEADER_BYTES);
  program.writeUInt32LE(5, HEADER_BYTES + 4);
  program.writeBigUInt64LE(BigInt(start), HEADER_BYTES + 8);
  program.writeBigUInt64LE(BigInt(BASE), HEADER_BYTES + 16);
  program.writeBigUInt64LE(BigInt(BASE), HEADER_BYTES + 24);
  program.writeBigUInt64LE(BigInt(code.length), HEADER_BYTES + 32);
  program.writeBigUInt64LE(BigInt(code.length), HEADER_BYTES + 40);
  program.writeBigUInt64LE(4096n, HEADER_BYTES + 48);
  code.copy(program, start);
  return program;
}
