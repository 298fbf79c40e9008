export { type BuildOptions, buildGuestImage, type GuestImage } from './build-guest-image.js';
export { GuestImageError } from './errors.js';
export type { GuestVariant } from './guest-files.js';
