/**
 * A program for the guest that makes the kernel's random generator start afresh from its pool: what is written to
 * /dev/urandom only goes into the pool, and is not drawn on until the next reseed, up to a minute later; until then a
 * restored guest repeats the numbers of before. Only an ioctl reseeds at once, and neither a shell nor busybox has one.
 * Source: random(4), RNDRESEEDCRNG; System V ABI, AMD64 supplement.
 */

import { renderElf64 } from '@mvm/guest-boot/elf';

/** Where the program is loaded. */
const BASE = 0x400000;
const PATH = Buffer.from('/dev/urandom\0', 'latin1');

/** RNDRESEEDCRNG, `_IO('R', 0x07)`; needs CAP_SYS_ADMIN. */
const RESEED = [0x07, 0x52, 0, 0];
/** Up to the instruction after `lea`, which counts from there. */
const OPEN = [
  ...[0xb8, 2, 0, 0, 0], // mov eax, SYS_open
  ...[0x48, 0x8d, 0x3d], // lea rdi, [rip + …]
];
const REST = [
  ...[0x31, 0xf6], // xor esi, esi: O_RDONLY
  ...[0x0f, 0x05], // syscall
  ...[0x89, 0xc7], // mov edi, eax: a descriptor, or an error, which is no descriptor
  ...[0xb8, 16, 0, 0, 0], // mov eax, SYS_ioctl
  ...[0xbe, ...RESEED], // mov esi, RNDRESEEDCRNG
  ...[0x31, 0xd2], // xor edx, edx
  ...[0x0f, 0x05], // syscall
  ...[0x89, 0xc7], // mov edi, eax: 0, or an error, whose low byte is not 0
  ...[0xb8, 60, 0, 0, 0], // mov eax, SYS_exit
  ...[0x0f, 0x05], // syscall
];

/** The program: ELF64 for x86-64, static, a few hundred bytes. Exits with 0 once the generator is reseeded. Pure. */
export function renderReseedProgram(): Buffer {
  const displacement = Buffer.alloc(4);
  displacement.writeInt32LE(REST.length);
  const code = Buffer.concat([Buffer.from(OPEN), displacement, Buffer.from(REST), PATH]);
  return renderElf64(code, BASE, 'wholeFile');
}
