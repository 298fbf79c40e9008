import { constants, open } from 'node:fs/promises';
import type { CodedError } from '@mvm/protocol';
import { kernelUnusable } from './errors.js';
import { decodeLz4Legacy } from './lz4.js';

/** Largest kernel that we unpack, in bytes: bounds what a wrong length makes us allocate. */
const MAX_VMLINUX_BYTES = 256 * 1024 * 1024;
const SETUP_SECTS = 0x1f1;
const HEADER_MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;

/**
 * The ELF kernel inside a bzImage. Booting it directly spares the guest its own decompression, which is a quarter of a
 * boot under emulation, and it is the only form that Firecracker takes. Understands LZ4, as Debian's cloud kernels use.
 * Throws `kernel.unusable`. Source: Documentation/arch/x86/boot.rst (payload_offset, payload_length; the payload's last
 * four bytes are the unpacked length, u32 little-endian).
 */
export function extractVmlinux(bzImage: Buffer): Buffer {
  if (bzImage.length < 0x260 || bzImage.toString('latin1', HEADER_MAGIC, HEADER_MAGIC + 4) !== 'HdrS') {
    throw unusable('it is not a bzImage');
  }
  const setupSectors = (bzImage[SETUP_SECTS] ?? 0) || 4;
  const start = (setupSectors + 1) * 512 + bzImage.readUInt32LE(PAYLOAD_OFFSET);
  const end = start + bzImage.readUInt32LE(PAYLOAD_LENGTH);
  if (end > bzImage.length || end - start < 16) throw unusable('its payload is truncated');
  const payload = bzImage.subarray(start, end);
  const length = payload.readUInt32LE(payload.length - 4);
  if (length > MAX_VMLINUX_BYTES) throw unusable(`it would unpack to ${length} bytes`);
  const vmlinux = decodeLz4Legacy(payload.subarray(0, -4), length);
  if (vmlinux.toString('latin1', 0, 4) !== '\x7fELF') throw unusable('its payload is not an ELF kernel');
  return vmlinux;
}

/** The content of an ELF kernel's file, which must be a regular one. Throws `kernel.unusable`. */
export async function readKernelFile(path: string): Promise<Buffer> {
  const hint = 'Give the path of an uncompressed Linux kernel, an ELF file (vmlinux).';
  // Not blocking: a FIFO without a writer would be waited for.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: Error) => {
    throw kernelUnusable(`cannot read the kernel ${path}: ${error.message}`, hint, error);
  });
  try {
    const entry = await file.stat();
    const { size } = entry;
    if (!entry.isFile()) throw kernelUnusable(`the kernel ${path} is not a regular file`, hint);
    if (size > MAX_VMLINUX_BYTES) throw kernelUnusable(`the kernel ${path} has ${size} bytes`, hint);
    const content = await file.readFile();
    if (content.toString('latin1', 0, 4) !== '\x7fELF')
      throw kernelUnusable(`${path} is not an ELF kernel`, hint);
    return content;
  } finally {
    await file.close();
  }
}

function unusable(why: string): CodedError {
  return kernelUnusable(
    `cannot use the kernel: ${why}`,
    'The build expects a Debian cloud kernel for amd64.',
  );
}
