export { buildRootfs, type LayerFile } from './build-rootfs.js';
export { DEFAULT_LIMITS } from './limits.js';
export type { Compression } from './worker/job.js';
