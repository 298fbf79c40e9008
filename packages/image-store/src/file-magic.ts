import { CodedError } from '@mvm/protocol';
import type { ImagePart } from './layout.js';

/** How many bytes of a file's beginning {@link checkMagic} wants to see. */
export const MAGIC_BYTES = 2048;

/** Offset of ext4's superblock and of the fields in it. Source: Linux, Documentation/filesystems/ext4/super.rst. */
const EXT4 = { superblock: 1024, blocksLow: 0x04, logBlockSize: 0x18, magic: 0x38, magicValue: 0xef53 };

/** The same of EROFS, whose superblock is at the same place. Source: Linux, fs/erofs/erofs_fs.h. */
const EROFS = { blockBits: 12, blocks: 36, magic: 0, magicValue: 0xe0f5e1e2 };

const INITRD_MAGICS: readonly (readonly number[])[] = [
  [0x30, 0x37, 0x30, 0x37, 0x30], // cpio "07070"
  [0x1f, 0x8b], // gzip
  [0x28, 0xb5, 0x2f, 0xfd], // zstd
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], // xz
  [0x02, 0x21, 0x4c, 0x18], // lz4, legacy frame
  [0x42, 0x5a, 0x68], // bzip2
  [0x5d, 0x00, 0x00], // lzma
  [0x89, 0x4c, 0x5a, 0x4f], // lzo
];

/**
 * Checks that a file is what it is passed as, by its first {@link MAGIC_BYTES} bytes and its size: a kernel is a
 * bzImage, an ELF file or an arm64 Image; an initrd a cpio archive, packed or not; a root file system ext4 or
 * EROFS that is not cut short. Throws `invalid_argument`, reason `image.wrong_format`.
 */
export function checkMagic(part: ImagePart, head: Buffer, sizeBytes: number, path: string): void {
  const problem = problemOf(part, head, sizeBytes);
  if (problem === undefined) return;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'image.wrong_format',
    message: `${path} ${problem.message}`,
    details: { path, part, size_bytes: sizeBytes },
    hint: problem.hint,
  });
}

function problemOf(part: ImagePart, head: Buffer, sizeBytes: number) {
  if (sizeBytes === 0) return { message: 'is empty', hint: 'build or download it again' };
  switch (part) {
    case 'kernel':
      return isKernel(head)
        ? undefined
        : {
            message: 'is not a Linux kernel (neither bzImage, ELF nor arm64 Image)',
            hint: 'pass a kernel as distributions ship it in /boot, e.g. --kernel /boot/vmlinuz',
          };
    case 'initrd':
      return INITRD_MAGICS.some((magic) => startsWith(head, magic))
        ? undefined
        : {
            message: 'is not an initrd (no cpio archive, plain or compressed)',
            hint: 'make one with cpio -o -H newc',
          };
    case 'rootfs':
      return isErofs(head) ? erofsProblem(head, sizeBytes) : ext4Problem(head, sizeBytes);
  }
}

function isKernel(head: Buffer): boolean {
  const isElf = startsWith(head, [0x7f, 0x45, 0x4c, 0x46]);
  const isBzImage =
    head.length > 0x206 &&
    head.readUInt16LE(0x1fe) === 0xaa55 &&
    head.toString('latin1', 0x202, 0x206) === 'HdrS';
  const isArm64Image = head.length > 60 && head.toString('latin1', 56, 60) === 'ARMd';
  return isElf || isBzImage || isArm64Image;
}

function ext4Problem(head: Buffer, sizeBytes: number) {
  const at = EXT4.superblock;
  if (head.length < at + 64 || head.readUInt16LE(at + EXT4.magic) !== EXT4.magicValue) {
    return {
      message: 'is neither an ext4 nor an EROFS file system',
      hint: 'make one from a directory with: mkfs.ext4 -d <directory> <file> <size>',
    };
  }
  const expectedBytes =
    head.readUInt32LE(at + EXT4.blocksLow) * 2 ** (10 + head.readUInt32LE(at + EXT4.logBlockSize));
  if (expectedBytes > sizeBytes) {
    return {
      message: `is cut short: its ext4 file system has ${expectedBytes} bytes, the file ${sizeBytes}`,
      hint: 'build or download it again',
    };
  }
  return undefined;
}

function isErofs(head: Buffer): boolean {
  const at = EXT4.superblock;
  return head.length >= at + 128 && head.readUInt32LE(at + EROFS.magic) === EROFS.magicValue;
}

function erofsProblem(head: Buffer, sizeBytes: number) {
  const at = EXT4.superblock;
  const expectedBytes = head.readUInt32LE(at + EROFS.blocks) * 2 ** head.readUInt8(at + EROFS.blockBits);
  if (expectedBytes <= sizeBytes) return undefined;
  return {
    message: `is cut short: its EROFS file system has ${expectedBytes} bytes, the file ${sizeBytes}`,
    hint: 'build or download it again',
  };
}

function startsWith(head: Buffer, magic: readonly number[]): boolean {
  return magic.every((byte, index) => head[index] === byte);
}
