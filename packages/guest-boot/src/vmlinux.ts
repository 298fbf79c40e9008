import { spawnSync } from 'node:child_process';
import { constants, open } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
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
 * boot under emulation, and it is the only form that Firecracker takes. Understands LZ4, as Debian's cloud kernels use, and
 * gzip; XZ and Zstandard by the programs `xz` and `zstd`.
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
  const vmlinux = unpack(payload, length);
  if (vmlinux.toString('latin1', 0, 4) !== '\x7fELF') throw unusable('its payload is not an ELF kernel');
  return vmlinux;
}

/** The content of a kernel's file, which must be a regular one. Throws `kernel.unusable`. */
export async function readKernelFile(path: string): Promise<Buffer> {
  const hint = 'Give the path of a Linux kernel: an ELF file (vmlinux), or a bzImage (vmlinuz).';
  // Not blocking: a FIFO without a writer would be waited for.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: Error) => {
    throw kernelUnusable(`cannot read the kernel ${path}: ${error.message}`, hint, error);
  });
  try {
    const entry = await file.stat();
    const { size } = entry;
    if (!entry.isFile()) throw kernelUnusable(`the kernel ${path} is not a regular file`, hint);
    if (size > MAX_VMLINUX_BYTES) throw kernelUnusable(`the kernel ${path} has ${size} bytes`, hint);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** Of XZ and Zstandard the last four bytes, the length, are not part; of gzip they are its own. */
function unpack(payload: Buffer, length: number): Buffer {
  const magic = payload.readUInt32BE(0);
  if (magic === 0xfd377a58) return unpackBy('xz', ['-dc', '--single-stream'], payload.subarray(0, -4));
  if (magic === 0x28b52ffd) return unpackBy('zstd', ['-dc'], payload.subarray(0, -4));
  if (magic >>> 16 !== 0x1f8b) return decodeLz4Legacy(payload.subarray(0, -4), length);
  try {
    return gunzipSync(payload, { maxOutputLength: MAX_VMLINUX_BYTES });
  } catch (error) {
    throw unusable(`its payload is damaged (${error instanceof Error ? error.message : String(error)})`);
  }
}

function unpackBy(program: string, args: readonly string[], payload: Buffer): Buffer {
  const { stdout, status, error } = spawnSync(program, args, {
    input: payload,
    maxBuffer: MAX_VMLINUX_BYTES,
  });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT')
    throw kernelUnusable(
      `cannot unpack the kernel: ${program} is missing`,
      `Install it: apt-get install ${program === 'xz' ? 'xz-utils' : program}`,
    );
  if (status !== 0) throw unusable(`its payload is damaged (${program} ended with ${status})`);
  return stdout;
}

function unusable(why: string): CodedError {
  return kernelUnusable(
    `cannot use the kernel: ${why}`,
    'It expects a bzImage, as distributions ship it for amd64 in /boot.',
  );
}
