export {
  BOOT_KERNEL_ARGS,
  BOOT_MODULES,
  readInitProgram,
  readVsockProgram,
  renderBootInitrd,
} from './boot-initrd.js';
export { renderCpio } from './cpio.js';
export {
  exists,
  fetchKernel,
  findKernelPackage,
  type KernelPackage,
  modulesDirOf,
  replaceDirectory,
  unpackKernelPackage,
} from './kernel-package.js';
export {
  addDistributionKernel,
  addKernel,
  findKernel,
  kernelsDir,
  listKernels,
  readStoredModules,
  removeKernel,
  type StoredKernel,
  setDefaultKernel,
} from './kernel-store.js';
export { type KernelModule, orderModules, readModules } from './modules.js';
export type { RunConfig, RunHealth } from './run-config.js';
export { runTool } from './tool.js';
