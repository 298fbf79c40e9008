import { fileURLToPath } from 'node:url';
import { buildGuestImage, type GuestImage, type GuestVariant } from '@mvm/guest-image';
import { addImage, imagesDir } from '@mvm/image-store';

const CACHE = fileURLToPath(new URL('../../../.cache/guest-image', import.meta.url));

/**
 * The demo image, or another variant of it, out of the checkout's cache; built there when it is not. `MVM_TEST_IMAGES`
 * names images by variant, as JSON, for a machine that cannot look up what they are built from.
 */
export async function demoImage(variant: GuestVariant = 'demo'): Promise<GuestImage> {
  const given = JSON.parse(process.env.MVM_TEST_IMAGES ?? '{}') as Partial<Record<GuestVariant, GuestImage>>;
  if (given[variant] !== undefined) return given[variant];
  return buildGuestImage({ outDir: CACHE, variant });
}

/** Registers {@link demoImage} as `demo` with the hostd of this state directory. */
export async function registerDemoImage(stateDir: string, variant?: GuestVariant): Promise<void> {
  const { kernel, initrd, rootfs, kernelArgs } = await demoImage(variant);
  await addImage(imagesDir(stateDir), { name: 'demo', kernel, initrd, rootfs, kernelArgs });
}
