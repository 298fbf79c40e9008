import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A temporary directory with a store root and the files that images are made of. */
export interface Fixture {
  readonly dir: string;
  readonly root: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly rootfs: string;
  remove(): Promise<void>;
}

export async function createFixture(): Promise<Fixture> {
  const dir = await mkdtemp(join(tmpdir(), `mvm-images-${process.pid}-`));
  const [kernel, initrd, rootfs] = [join(dir, 'bzImage'), join(dir, 'initrd.gz'), join(dir, 'root.ext4')];
  await writeFile(kernel, bzImage('one'));
  await writeFile(initrd, Buffer.concat([Buffer.from([0x1f, 0x8b, 8]), Buffer.alloc(2000, 7)]));
  await mkdir(join(dir, 'tree'));
  await writeFile(join(dir, 'tree', 'hello'), 'hello\n');
  await run('/sbin/mkfs.ext4', ['-q', '-d', join(dir, 'tree'), rootfs, '4M']);
  return {
    dir,
    root: join(dir, 'state', 'images'),
    kernel,
    initrd,
    rootfs,
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

/** The smallest file that the kernel's boot protocol calls a bzImage, with a marker to tell two apart. */
export function bzImage(marker: string): Buffer {
  const image = Buffer.alloc(4096);
  image.writeUInt16LE(0xaa55, 0x1fe);
  image.write('HdrS', 0x202, 'latin1');
  image.write(marker, 0x800);
  return image;
}
