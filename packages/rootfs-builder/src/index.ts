export { buildRootfs, type LayerFile } from './build-rootfs.js';
export { limitExceeded } from './errors.js';
export { DEFAULT_LIMITS, type ImageLimits } from './limits.js';
export type { Compression } from './worker/job.js';
