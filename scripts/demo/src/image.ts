import { buildGuestImage, type GuestImage } from '@mvm/guest-image';
import { execa } from 'execa';
import { startProgress } from './progress.js';

/**
 * The demo's guest image, built on the first run and kept. When that fails the package lists are read once and it is
 * tried again: lists that are too old name a kernel which the archive no longer has.
 *
 * PRIVILEGE: `apt-get update` needs root. SAFETY: fixed arguments.
 */
export async function prepareImage(outDir: string): Promise<GuestImage> {
  const progress = startProgress('guest image');
  try {
    const options = { outDir, onProgress: (what: string) => progress.update(`guest image: ${what}`) };
    try {
      return await buildGuestImage(options);
    } catch {
      progress.update('guest image: reading the package lists (apt-get update)');
      await execa('apt-get', ['update', '-q'], { reject: false, stdin: 'ignore' });
      return await buildGuestImage(options);
    }
  } finally {
    progress.end();
  }
}
