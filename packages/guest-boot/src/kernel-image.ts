import { kernelUnusable } from './errors.js';
import { extractVmlinux } from './vmlinux.js';

// Source: elf(5).
const MACHINES: Readonly<Record<string, number>> = { ia32: 3, arm: 40, x64: 62, arm64: 183, riscv64: 243 };
const PT_INTERP = 3;

/**
 * The ELF kernel in the content of a file: as it is, or out of a bzImage. Both VMMs boot it. Throws `kernel.unusable` for
 * anything else: a program, a kernel for another architecture than `arch` (as `process.arch` has it), a damaged file.
 */
export function readKernelImage(content: Buffer, arch: string): Buffer {
  const isBzImage = content.length > 0x206 && content.toString('latin1', 0x202, 0x206) === 'HdrS';
  const kernel = isBzImage ? extractVmlinux(content) : content;
  const problem = elfProblem(kernel, arch);
  if (problem === null) return kernel;
  throw kernelUnusable(
    `this is no kernel for guests of this host: ${problem}`,
    `Give it a kernel as distributions ship it in /boot (vmlinuz, a bzImage), or an ELF file (vmlinux), for ${arch}.`,
  );
}

function elfProblem(kernel: Buffer, arch: string): string | null {
  if (kernel.toString('latin1', 0, 4) !== '\x7fELF') return 'it is neither a bzImage nor an ELF file';
  if (kernel.length < 64) return null;
  const machine = kernel.readUInt16LE(18);
  const of = Object.keys(MACHINES).find((name) => MACHINES[name] === machine);
  if (of !== undefined && of !== arch) return `it is for ${of}`;
  const table = Number(kernel.readBigUInt64LE(32));
  const entryBytes = kernel.readUInt16LE(54);
  for (let index = 0; index < kernel.readUInt16LE(56); index += 1) {
    const at = table + index * entryBytes;
    if (at + 4 > kernel.length) break;
    if (kernel.readUInt32LE(at) === PT_INTERP) return 'it is a program';
  }
  return null;
}
