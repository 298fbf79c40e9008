import { isAbsolute } from 'node:path';

/** The programs under test: absolute paths. `MVM_FIRECRACKER` and `MVM_JAILER` name them. */
export function firecrackerPrograms(): { readonly firecracker: string; readonly jailer: string } {
  const [firecracker = '', jailer = ''] = [process.env.MVM_FIRECRACKER, process.env.MVM_JAILER];
  if (isAbsolute(firecracker) && isAbsolute(jailer)) return { firecracker, jailer };
  throw new Error('MVM_FIRECRACKER and MVM_JAILER are not set to absolute paths');
}
