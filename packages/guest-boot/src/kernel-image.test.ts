import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readKernelImage } from './kernel-image.js';

function elf(machine: number): Buffer {
  const kernel = Buffer.alloc(256);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(kernel);
  kernel.writeUInt16LE(machine, 18);
  return kernel;
}

/** A bzImage with this payload. */
function bzImage(payload: Buffer): Buffer {
  const image = Buffer.alloc(2 * 512 + 100 + payload.length);
  image[0x1f1] = 1;
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt32LE(100, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  payload.copy(image, 2 * 512 + 100);
  return image;
}

describe('readKernelImage', () => {
  const kernel = elf(62);

  it('takes an ELF kernel as it is, and one out of a bzImage', () => {
    expect(readKernelImage(kernel, 'x64')).toBe(kernel);
    // A gzip file ends with the unpacked length, as every payload does.
    expect(readKernelImage(bzImage(gzipSync(kernel)), 'x64').equals(kernel)).toBe(true);
  });

  it.each([
    ['a program', readFileSync(process.execPath).subarray(0, 4096), /it is a program/],
    ['a kernel for arm64', elf(183), /it is for arm64/],
    ['an arm64 Image', Buffer.concat([Buffer.alloc(56), Buffer.from('ARMd'), Buffer.alloc(4096)]), /neither/],
    ['a script', Buffer.from('#!/bin/sh\n'), /neither/],
    ['nothing', Buffer.alloc(0), /neither/],
    ['a bzImage for arm64', bzImage(gzipSync(elf(183))), /it is for arm64/],
    ['a bzImage with a payload that is damaged', bzImage(gzipSync(kernel).fill(0, 12, 20)), /payload/],
    ['a bzImage with another payload', bzImage(Buffer.alloc(64, 9)), /compressed part/],
  ])('refuses %s', (_what, content, why) => {
    expect(() => readKernelImage(content, 'x64')).toThrow(
      expect.objectContaining({ reason: 'kernel.unusable', message: expect.stringMatching(why) }),
    );
  });
});
