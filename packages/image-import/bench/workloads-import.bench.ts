/**
 * The import of an OCI image of 30,000 files in 3 layers, against `umoci unpack` and `mkfs.erofs` by hand. Both sides take
 * turns in one run; both begin with the layout on disk and end with a synced root file system.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { addKernel, BOOT_MODULES, kernelsDir } from '@mvm/guest-boot';
import { imagesDir } from '@mvm/image-store';
import { buildRootfs, type LayerFile } from '@mvm/rootfs-builder';
import { sha256, type TarSpec, writeOciLayout, writeTar } from '@mvm/testkit';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { importImage } from '../src/index.js';

/** MVM_BENCH_ROUNDS: how often each side has its turn. */
const ROUNDS = Number(process.env.MVM_BENCH_ROUNDS ?? '3');
const FILES = 30_000;
const LAYERS = 3;
const FILES_PER_DIRECTORY = 50;
const MIB = 1_048_576;
const RESULTS = fileURLToPath(new URL('../.bench-results', import.meta.url));

/** Files of 0 to 12 KiB, half of which can be compressed, in small directories. */
function layerOf(layer: number): TarSpec[] {
  const specs: TarSpec[] = [];
  for (let file = 0; file < FILES / LAYERS; file += 1) {
    const directory = `usr/share/l${layer}/d${Math.floor(file / FILES_PER_DIRECTORY)}`;
    if (file % FILES_PER_DIRECTORY === 0) specs.push({ name: `${directory}/`, type: 'directory' });
    const seed = createHash('sha256').update(`${layer}/${file}`).digest();
    const size = seed.readUInt16LE(0) % 12_288;
    const data = Buffer.alloc(size, file % 2 === 0 ? seed : 'a line of text that repeats\n');
    specs.push({ name: `${directory}/f${file}`, data });
  }
  return specs;
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

it('imports an image', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'mvm-bench-import-'));
  try {
    const modules = join(dir, 'modules');
    const kernels = kernelsDir(dir);
    await mkdir(modules);
    for (const name of BOOT_MODULES) await writeFile(join(modules, `${name}.ko`), 'license=GPL\0depends=\0');
    const vmlinux = join(dir, 'vmlinux');
    await writeFile(vmlinux, Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(4096)]));
    await addKernel(kernels, 'one', { vmlinux, modulesDir: modules, version: '1' });
    const layers = Array.from({ length: LAYERS }, (_, layer) => writeTar(layerOf(layer)));
    const layout = join(dir, 'layout');
    await writeOciLayout(layout, [{ layers, config: { Cmd: ['/bin/app'] }, reference: 'app' }]);
    const files = layers.map((layer): LayerFile => {
      const packed = gzipSync(layer);
      const digest = `sha256:${sha256(packed)}`;
      return {
        path: join(layout, 'blobs/sha256', sha256(packed)),
        compression: 'gzip',
        digest,
        sizeBytes: packed.length,
        diffId: `sha256:${sha256(layer)}`,
      };
    });

    const ours = async (round: number): Promise<void> => {
      const images = join(imagesDir(dir), String(round));
      await importImage({ images, kernels }, { source: `oci:${layout}:app`, name: 'app' });
      await rm(images, { recursive: true });
    };
    const theirs = async (round: number): Promise<void> => {
      const bundle = join(dir, `bundle-${round}`);
      const image = join(dir, `bundle-${round}.erofs`);
      await execa('umoci', ['unpack', '--image', `${layout}:app`, bundle]);
      await execa('mkfs.erofs', ['-x-1', image, join(bundle, 'rootfs')]);
      const file = await open(image);
      await file.sync();
      await file.close();
      await rm(bundle, { recursive: true });
      await rm(image);
    };
    /** What the process that builds takes, as the kernel counts it. */
    const workerMib = async (round: number): Promise<number> => {
      const outputPath = join(dir, `rootfs-${round}`);
      const built = await buildRootfs({ uuid: '0'.repeat(32), outputPath, layers: files });
      await rm(outputPath);
      return built.maxRssBytes / MIB;
    };

    const oursMs: number[] = [];
    const theirsMs: number[] = [];
    const mib: number[] = [];
    // The first round only warms up.
    for (let round = -1; round < ROUNDS; round += 1) {
      const one = await timed(() => ours(round));
      const other = await timed(() => theirs(round));
      mib.push(await workerMib(round));
      if (round < 0) continue;
      oursMs.push(one);
      theirsMs.push(other);
    }
    expect(oursMs).toHaveLength(ROUNDS);
    const figures = [
      {
        name: 'Import against umoci unpack and mkfs.erofs',
        value: Number((median(oursMs) / median(theirsMs)).toFixed(3)),
        unit: '×',
        target: { max: 0.7 },
      },
      { name: 'import', value: Math.round(median(oursMs)), unit: 'ms' },
      { name: 'umoci unpack and mkfs.erofs', value: Math.round(median(theirsMs)), unit: 'ms' },
      {
        name: 'Largest resident size of the worker',
        value: Number(Math.max(...mib).toFixed(1)),
        unit: 'MiB',
        target: { max: 150 },
      },
    ];
    await mkdir(RESULTS, { recursive: true });
    const report = {
      title: 'Import of an image',
      method: `${ROUNDS} interleaved rounds: an OCI layout of ${FILES} files of 0 to 12 KiB in ${LAYERS} gzip layers, imported into an empty store, and unpacked by umoci into a directory of which mkfs.erofs makes a file system without compression. The worker’s memory is what the kernel says of it (ru_maxrss), Node.js included.`,
      figures,
    };
    await writeFile(join(RESULTS, 'workloads-import.json'), `${JSON.stringify(report, null, 2)}\n`);
    process.stdout.write(
      `${cpus()[0]?.model} × ${cpus().length}, Linux ${release()}, Node ${process.version}\n`,
    );
    for (const { name, value, unit } of figures)
      process.stdout.write(`${name.padEnd(52)} ${String(value).padStart(9)} ${unit}\n`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
