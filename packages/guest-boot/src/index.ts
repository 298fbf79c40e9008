export {
  BOOT_KERNEL_ARGS,
  BOOT_MODULES,
  type BootModule,
  readInitProgram,
  renderBootInitrd,
} from './boot-initrd.js';
export { type CpioEntry, renderCpio } from './cpio.js';
export {
  exists,
  fetchKernel,
  findKernelPackage,
  type KernelPackage,
  replaceDirectory,
  type UnpackedKernel,
} from './kernel-package.js';
export {
  addDistributionKernel,
  addKernel,
  findKernel,
  type KernelFiles,
  kernelsDir,
  listKernels,
  readStoredModules,
  removeKernel,
  type StoredKernel,
  setDefaultKernel,
} from './kernel-store.js';
export { type KernelModule, orderModules, readModules } from './modules.js';
export { type RunConfig, renderRunConfig } from './run-config.js';
export { runTool, type ToolOptions } from './tool.js';
export { extractVmlinux } from './vmlinux.js';
