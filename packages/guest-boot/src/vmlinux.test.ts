import { describe, expect, it } from 'vitest';
import { extractVmlinux } from './vmlinux.js';

/** A bzImage whose payload stands for `plain`, stored as literals. */
function bzImage(plain: Buffer): Buffer {
  const payload = Buffer.concat([
    Buffer.from([0x02, 0x21, 0x4c, 0x18]),
    uint32(2 + plain.length),
    Buffer.from([0xf0, plain.length - 15]),
    plain,
    uint32(plain.length),
  ]);
  const image = Buffer.alloc(2 * 512 + 100 + payload.length);
  image[0x1f1] = 1;
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt32LE(100, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  payload.copy(image, 2 * 512 + 100);
  return image;
}

function uint32(value: number): Buffer {
  const field = Buffer.alloc(4);
  field.writeUInt32LE(value);
  return field;
}

const kernel = Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(60, 7)]);

describe('extractVmlinux', () => {
  it('finds the ELF kernel', () => {
    expect(extractVmlinux(bzImage(kernel)).equals(kernel)).toBe(true);
  });

  it.each([
    ['not a bzImage', Buffer.alloc(5000)],
    ['too short', Buffer.alloc(10)],
    ['cut off', bzImage(kernel).subarray(0, 1130)],
    ['not an ELF inside', bzImage(Buffer.alloc(64, 1))],
  ])('refuses what is %s', (_, image) => {
    expect(() => extractVmlinux(image)).toThrow(expect.objectContaining({ reason: 'kernel.unusable' }));
  });

  it('does not allocate what a wrong length asks for', () => {
    const image = bzImage(kernel);
    image.writeUInt32LE(0xffff_ffff, image.length - 4);
    expect(() => extractVmlinux(image)).toThrow(/would unpack to 4294967295/);
  });
});
