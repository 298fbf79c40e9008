/**
 * A guest of a few instructions: it writes a line to its serial port and restarts, which ends its Firecracker. That it did
 * shows that the host's KVM runs guests: one that only looks usable answers every call, and never runs an instruction.
 */

import { renderElf64 } from '@mvm/guest-boot/elf';

/** What it says. */
export const TINY_GUEST_LINE = 'mvm guest runs\n';

/** Where it is loaded: above the first MiB, which belongs to the machine. */
const BASE = 0x20_0000;
const SERIAL_PORT = [0xf8, 0x03];

/** An ELF64 kernel for x86-64, entered in long mode. Pure. Source: Documentation/arch/x86/boot.rst, 64-bit boot protocol. */
export function renderTinyGuest(): Buffer {
  const code = Buffer.from([
    ...[0x66, 0xba, ...SERIAL_PORT], // mov dx, 0x3f8
    ...[...Buffer.from(TINY_GUEST_LINE)].flatMap((character) => [0xb0, character, 0xee]), // mov al, …; out dx, al
    ...[0xb0, 0xfe, 0xe6, 0x64], // mov al, 0xfe; out 0x64, al: the keyboard controller restarts the machine
    ...[0xf4, 0xeb, 0xfd], // hlt; jmp to it
  ]);
  return renderElf64(code, BASE, 'code');
}
