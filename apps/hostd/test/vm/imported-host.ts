import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addKernel, fetchKernel, findKernelPackage, kernelsDir } from '@mvm/guest-boot';
import type { HostdClient } from '@mvm/hostd-client';
import { type ImportedImage, importImage } from '@mvm/image-import';
import { imagesDir } from '@mvm/image-store';
import { type TarSpec, until, writeOciLayout, writeTar } from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import type { InstanceAddress } from '../../src/state/layout.js';

/** Where the guest images of other tests have their kernel, too. */
const KERNEL_CACHE = fileURLToPath(new URL('../../../../.cache/guest-image', import.meta.url));
const busybox = readFileSync('/bin/busybox');

/** A test host with the distribution's kernel, and without any image. */
export async function createImportHost(): Promise<Host> {
  const kernel = await findKernelPackage();
  const { vmlinuxPath, modulesDir } = await fetchKernel(kernel, KERNEL_CACHE, () => {});
  const host = await createHost();
  const files = { vmlinux: vmlinuxPath, modulesDir, version: kernel.version };
  await addKernel(kernelsDir(host.stateDir), 'debian', files);
  return host;
}

/** Entries of an image that has nothing but busybox and its commands. */
export function busyboxLayer(): TarSpec[] {
  const applets = execFileSync('/bin/busybox', ['--list']).toString().trim().split('\n');
  return [
    { name: 'bin/', type: 'directory' },
    { name: 'bin/busybox', data: busybox, mode: 0o755 },
    ...applets
      .filter((applet) => applet !== 'busybox')
      .map((applet): TarSpec => ({ name: `bin/${applet}`, type: 'symlink', linkName: 'busybox' })),
  ];
}

/** Makes an image from nothing and imports it under a name. */
export async function importOwn(
  host: Host,
  name: string,
  image: { readonly layers: readonly (readonly TarSpec[])[]; readonly config: object },
): Promise<ImportedImage> {
  const layout = await mkdtemp(join(host.dir, 'layout-'));
  await writeOciLayout(layout, [{ layers: image.layers.map(writeTar), config: image.config }]);
  return importImage(
    { images: imagesDir(host.stateDir), kernels: kernelsDir(host.stateDir) },
    { source: `oci:${layout}`, name },
  );
}

/** All that the guest has said on its console, once it says `wanted` behind the first `after` characters. */
export async function consoleSays(
  client: HostdClient,
  address: InstanceAddress,
  wanted: RegExp | string,
  after = 0,
): Promise<string> {
  return until(
    String(wanted),
    async () => {
      const text = await consoleText(client, address);
      const rest = text.slice(after);
      return (typeof wanted === 'string' ? rest.includes(wanted) : wanted.test(rest)) ? text : null;
    },
    90_000,
  );
}

export async function consoleText(client: HostdClient, address: InstanceAddress): Promise<string> {
  const { data_base64 } = await client
    .request({ type: 'InstanceLogs', ...address })
    .catch(() => ({ data_base64: '' }));
  return Buffer.from(data_base64, 'base64').toString().replaceAll('\r\n', '\n');
}
