export { buildGuestImage, type GuestImage } from './build-guest-image.js';

export type { GuestVariant } from './guest-files.js';
