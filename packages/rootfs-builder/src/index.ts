export { type BuildRootfsOptions, buildRootfs, type LayerFile, WORKER_UID } from './build-rootfs.js';
export { DEFAULT_LIMITS, type ImageLimits } from './limits.js';
export type { BuildProgress, BuiltRootfs, Compression } from './worker/job.js';
