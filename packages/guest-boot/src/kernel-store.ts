/**
 * Kernels of a host, which images share: `<state-dir>/kernels/<name>/` holds `kernel.json`, `vmlinux` and `modules/*.ko`;
 * `<state-dir>/kernels/default` is a symbolic link to the one that imports take.
 *
 * INVARIANTS
 * - A kernel stands under its name complete or not at all, and is never changed there.
 */
import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { BOOT_MODULES, type BootModule } from './boot-initrd.js';
import { exists, fetchKernel, findKernelPackage } from './kernel-package.js';
import { type KernelModule, orderModules, readModules } from './modules.js';

/** Modification time of what images may share by hard link: that of the image store's files. */
const FIXED_TIME_SEC = 1_000_000_000;
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
const DEFAULT_LINK = 'default';

/** A kernel that a host has. */
export interface StoredKernel {
  readonly name: string;
  /** `sha256:<hex>` over the kernel and its modules. */
  readonly digest: string;
  readonly version: string;
  readonly addedAt: string;
  readonly isDefault: boolean;
  readonly vmlinuxPath: string;
  /** In loading order. */
  readonly modulePaths: readonly string[];
}

interface KernelRecord {
  readonly schema_version: 1;
  readonly name: string;
  readonly digest: string;
  readonly version: string;
  readonly added_at: string;
  readonly modules: readonly string[];
}

/** Files of a kernel that the caller has. */
export interface KernelFiles {
  /** ELF. */
  readonly vmlinux: string;
  /** Directory with its modules (`*.ko`, not compressed), at any depth. */
  readonly modulesDir: string;
  readonly version: string;
}

/** Directory of a state directory's kernels. */
export function kernelsDir(stateDir: string): string {
  return join(stateDir, 'kernels');
}

/** Every kernel, by name. An absent store has none. */
export async function listKernels(root: string): Promise<StoredKernel[]> {
  const entries = await readdir(root).catch(() => [] as string[]);
  const chosen = await readlink(join(root, DEFAULT_LINK)).catch(() => undefined);
  const kernels: StoredKernel[] = [];
  for (const entry of entries.sort()) {
    if (!NAME.test(entry) || entry === DEFAULT_LINK) continue;
    const record = await readRecord(join(root, entry));
    if (record !== undefined) kernels.push(view(root, record, chosen));
  }
  return kernels;
}

/** The kernel of a name, or the default one. Throws `not_found`, reason `kernel.not_found`. */
export async function findKernel(root: string, name: string | undefined): Promise<StoredKernel> {
  const kernels = await listKernels(root);
  const found = kernels.find((kernel) => (name === undefined ? kernel.isDefault : kernel.name === name));
  if (found !== undefined) return found;
  throw new CodedError({
    code: 'not_found',
    reason: 'kernel.not_found',
    message:
      name === undefined ? 'this host has no kernel for images yet' : `this host has no kernel ${name}`,
    hint: 'mvm kernel list shows what there is; sudo mvm kernel add adds that of the distribution',
  });
}

/**
 * Puts a kernel and the modules that guests need of it into the store. The first one becomes the default. Repeating it
 * changes nothing; another kernel under a name that is taken is refused. Throws `kernel.unusable`, `kernel.exists`.
 */
export async function addKernel(root: string, name: string, files: KernelFiles): Promise<StoredKernel> {
  checkName(name);
  const modules = orderModules(await readModules(files.modulesDir, BOOT_MODULES), BOOT_MODULES);
  const digest = digestOf(await readFile(files.vmlinux), modules);
  const present = await readRecord(join(root, name));
  if (present !== undefined && present.digest !== digest) {
    throw new CodedError({
      code: 'already_exists',
      reason: 'kernel.exists',
      message: `another kernel is named ${name}`,
      hint: 'give it another name, or remove the one that is there: mvm kernel remove',
    });
  }
  if (present === undefined) await place(root, { name, digest, files, modules });
  if (!(await exists(join(root, DEFAULT_LINK)))) await setDefaultKernel(root, name);
  return findKernel(root, name);
}

/** Adds the distribution's kernel under the name of its package. Downloads it through apt when it is not there. */
export async function addDistributionKernel(
  root: string,
  onProgress: (what: string) => void,
): Promise<StoredKernel> {
  const found = await findKernelPackage();
  const name = found.name.replace(/^linux-image-/, 'debian-');
  const present = (await listKernels(root)).find(
    (kernel) => kernel.name === name && kernel.version === found.version,
  );
  if (present !== undefined) return present;
  await mkdir(root, { recursive: true, mode: 0o700 });
  const cache = await mkdtemp(join(root, '.fetch-'));
  try {
    const { vmlinuxPath, modulesDir } = await fetchKernel(found, cache, onProgress);
    return await addKernel(root, name, { vmlinux: vmlinuxPath, modulesDir, version: found.version });
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

/** Makes a kernel the one that imports take. Throws `kernel.not_found`. */
export async function setDefaultKernel(root: string, name: string): Promise<void> {
  await findKernel(root, name);
  const fresh = join(root, `.default-${process.pid}`);
  await rm(fresh, { force: true });
  await symlink(name, fresh);
  await rename(fresh, join(root, DEFAULT_LINK));
}

/** Removes a kernel. Images keep what they were made with. Throws `kernel.not_found`. */
export async function removeKernel(root: string, name: string): Promise<void> {
  const { isDefault } = await findKernel(root, name);
  if (isDefault) await rm(join(root, DEFAULT_LINK), { force: true });
  await rename(join(root, name), join(root, `.removed-${name}-${process.pid}`));
  await rm(join(root, `.removed-${name}-${process.pid}`), { recursive: true, force: true });
  const next = (await listKernels(root)).at(-1);
  if (isDefault && next !== undefined) await setDefaultKernel(root, next.name);
}

/** Modules of a stored kernel, in loading order. */
export async function readStoredModules(kernel: StoredKernel): Promise<BootModule[]> {
  return Promise.all(
    kernel.modulePaths.map(async (path) => ({ fileName: basename(path), data: await readFile(path) })),
  );
}

function checkName(name: string): void {
  if (NAME.test(name) && name !== DEFAULT_LINK) return;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'kernel.invalid_name',
    message: `${JSON.stringify(name.slice(0, 80))} is not a name for a kernel`,
    hint: 'use 1–63 characters of a-z, 0-9, ".", "_", "-", with a letter or digit at both ends; "default" is taken',
  });
}

interface Placed {
  readonly name: string;
  readonly digest: string;
  readonly files: KernelFiles;
  readonly modules: readonly KernelModule[];
}

async function place(root: string, { name, digest, files, modules }: Placed): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  const staging = await mkdtemp(join(root, '.add-'));
  try {
    const vmlinux = join(staging, 'vmlinux');
    await copyFile(files.vmlinux, vmlinux);
    await chmod(vmlinux, 0o444);
    await utimes(vmlinux, FIXED_TIME_SEC, FIXED_TIME_SEC);
    await mkdir(join(staging, 'modules'));
    for (const { fileName, data } of modules) await writeFile(join(staging, 'modules', fileName), data);
    const record: KernelRecord = {
      schema_version: 1,
      name,
      digest,
      version: files.version,
      added_at: new Date().toISOString(),
      modules: modules.map(({ fileName }) => fileName),
    };
    await writeFile(join(staging, 'kernel.json'), `${JSON.stringify(record)}\n`, { flush: true });
    await rename(staging, join(root, name));
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

function digestOf(vmlinux: Buffer, modules: readonly KernelModule[]): string {
  const hash = createHash('sha256').update(createHash('sha256').update(vmlinux).digest());
  for (const { fileName, data } of modules) {
    hash.update(`${fileName}\0`).update(createHash('sha256').update(data).digest());
  }
  return `sha256:${hash.digest('hex')}`;
}

async function readRecord(directory: string): Promise<KernelRecord | undefined> {
  try {
    const record = JSON.parse(await readFile(join(directory, 'kernel.json'), 'utf8')) as KernelRecord;
    return record.schema_version === 1 && Array.isArray(record.modules) ? record : undefined;
  } catch {
    return undefined;
  }
}

function view(root: string, record: KernelRecord, chosen: string | undefined): StoredKernel {
  const { name, digest, version, added_at, modules } = record;
  return {
    name,
    digest,
    version,
    addedAt: added_at,
    isDefault: chosen === name,
    vmlinuxPath: join(root, name, 'vmlinux'),
    modulePaths: modules.map((file) => join(root, name, 'modules', file)),
  };
}
