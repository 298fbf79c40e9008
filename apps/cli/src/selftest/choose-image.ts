import { listImages, resolveImage } from '@mvm/image-store';
import { CodedError } from '@mvm/protocol';
import type { SelftestImage } from '@mvm/selftest';

/** The image that a self-test boots: the named one, else `demo`, else the only one that is registered. */
export async function chooseImage(storeRoot: string, named: string | undefined): Promise<SelftestImage> {
  const image = await resolveImage(storeRoot, named ?? (await onlyName(storeRoot)));
  return {
    kernel: image.kernelPath,
    initrd: image.initrdPath,
    rootfs: image.rootfsPath,
    kernelArgs: image.kernelArgs,
  };
}

async function onlyName(storeRoot: string): Promise<string> {
  const names = (await listImages(storeRoot)).map(({ name }) => name);
  if (names.includes('demo')) return 'demo';
  if (names.length === 1 && names[0] !== undefined) return names[0];
  throw new CodedError({
    code: names.length === 0 ? 'not_found' : 'invalid_argument',
    reason: names.length === 0 ? 'image.not_found' : 'cli.usage',
    message:
      names.length === 0
        ? `no image is registered in ${storeRoot}, and the self-test boots one`
        : 'several images are registered, and none of them is called demo',
    hint:
      names.length === 0
        ? 'Register one (mvm image add), or name the state directory that has it (--state-dir).'
        : `Choose one: mvm selftest --image <${names.slice(0, 5).join('|')}>`,
  });
}
