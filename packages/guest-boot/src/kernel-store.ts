/**
 * Kernels of a host, which images share: `<state-dir>/kernels/<name>/` holds `kernel.json`, `vmlinux` and `modules/*.ko`;
 * `<state-dir>/kernels/default` is a symbolic link to the one that imports take.
 *
 * INVARIANTS
 * - A kernel stands under its name complete or not at all, also after a loss of power, and is never changed there.
 * - Where there are kernels, one is the default.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { renameDurably, syncDirectory, writeNewFile } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';
import { BOOT_MODULES, type BootModule } from './boot-initrd.js';
import { readKernelImage } from './kernel-image.js';
import { exists, fetchKernel, findKernelPackage } from './kernel-package.js';
import { type KernelModule, orderModules, readModules } from './modules.js';
import { toKernelError, withStore, withWorkDir } from './store-changes.js';
import { readKernelFile } from './vmlinux.js';

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
  /** An ELF file, or a bzImage, out of which the ELF kernel is taken. */
  readonly vmlinux: string;
  /** Directory with its modules (`*.ko`, not compressed), at any depth. */
  readonly modulesDir: string;
  readonly version: string;
}

/** Directory of a state directory's kernels. */
export function kernelsDir(stateDir: string): string {
  return join(stateDir, 'kernels');
}

/** Every kernel, by name. An absent store has none. Throws `kernel.permission_denied`, `kernel.io`. */
export async function listKernels(root: string): Promise<StoredKernel[]> {
  const entries = await readdir(root).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [] as string[];
    throw toKernelError(error, 'read the kernels');
  });
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
 * changes nothing; another kernel under a name that is taken is refused; one that is damaged is replaced. Throws
 * `kernel.invalid_name`, `kernel.unusable`, `kernel.exists`, and those of `toKernelError`.
 */
export async function addKernel(root: string, name: string, files: KernelFiles): Promise<StoredKernel> {
  checkName(name);
  const vmlinux = readKernelImage(await readKernelFile(files.vmlinux), process.arch);
  const modules = orderModules(await readModules(files.modulesDir, BOOT_MODULES), BOOT_MODULES);
  const digest = digestOf(vmlinux, modules);
  const record: KernelRecord = {
    schema_version: 1,
    name,
    digest,
    version: files.version,
    added_at: new Date().toISOString(),
    modules: modules.map(({ fileName }) => fileName),
  };
  try {
    await withWorkDir(root, async (work) => {
      const staged = join(work, 'kernel');
      await stage(staged, record, vmlinux, modules);
      await withStore(root, async () => {
        const present = await readRecord(join(root, name));
        if (present !== undefined && present.digest !== digest) throw nameTaken(name);
        if (present === undefined) {
          await rename(join(root, name), join(work, 'damaged')).catch(ignoreMissing);
          await renameDurably(staged, join(root, name));
        }
        if (!(await exists(join(root, DEFAULT_LINK)))) await pointDefault(root, work, name);
      });
    });
  } catch (error) {
    throw toKernelError(error, `add the kernel ${name}`);
  }
  return findKernel(root, name);
}

/** Adds the distribution's kernel under the name of its package. Downloads it through apt when it is not there. */
export async function addDistributionKernel(
  root: string,
  onProgress: (what: string) => void,
): Promise<StoredKernel> {
  const found = await findKernelPackage();
  const name = found.name.replace(/^linux-image-/, 'debian-');
  const kernels = await listKernels(root);
  const present = kernels.find((kernel) => kernel.name === name && kernel.version === found.version);
  if (present !== undefined) {
    if (kernels.some(({ isDefault }) => isDefault)) return present;
    await setDefaultKernel(root, name);
    return findKernel(root, name);
  }
  try {
    return await withWorkDir(root, async (work) => {
      const { vmlinuxPath, modulesDir } = await fetchKernel(found, work, onProgress);
      return await addKernel(root, name, { vmlinux: vmlinuxPath, modulesDir, version: found.version });
    });
  } catch (error) {
    throw toKernelError(error, `add the kernel ${name}`);
  }
}

/** Makes a kernel the one that imports take. Throws `kernel.not_found`, and those of `toKernelError`. */
export async function setDefaultKernel(root: string, name: string): Promise<void> {
  await findKernel(root, name);
  try {
    await withWorkDir(root, (work) =>
      withStore(root, async () => {
        await findKernel(root, name);
        await pointDefault(root, work, name);
      }),
    );
  } catch (error) {
    throw toKernelError(error, `make ${name} the default kernel`);
  }
}

/**
 * Removes a kernel, also a damaged one. Images keep what they were made with. The last of the others becomes the default
 * in its place. Throws `kernel.invalid_name`, `kernel.not_found`, and those of `toKernelError`.
 */
export async function removeKernel(root: string, name: string): Promise<void> {
  checkName(name);
  if (!(await exists(join(root, name)))) await findKernel(root, name);
  try {
    await withWorkDir(root, (work) =>
      withStore(root, async () => {
        const chosen = await readlink(join(root, DEFAULT_LINK)).catch(() => undefined);
        // First, so that a crash leaves no host without a default one.
        if (chosen === name) {
          const next = (await listKernels(root)).filter((kernel) => kernel.name !== name).at(-1);
          if (next === undefined) await rm(join(root, DEFAULT_LINK), { force: true });
          else await pointDefault(root, work, next.name);
        }
        await rename(join(root, name), join(work, 'removed')).catch(async (error) => {
          ignoreMissing(error);
          await findKernel(root, name);
        });
        await syncDirectory(root);
      }),
    );
  } catch (error) {
    throw toKernelError(error, `remove the kernel ${name}`);
  }
}

/** Replaces the link, under the store's lock; `work` is the caller's work directory. */
async function pointDefault(root: string, work: string, name: string): Promise<void> {
  const fresh = join(work, DEFAULT_LINK);
  await symlink(name, fresh);
  await renameDurably(fresh, join(root, DEFAULT_LINK));
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
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

function nameTaken(name: string): CodedError {
  return new CodedError({
    code: 'already_exists',
    reason: 'kernel.exists',
    message: `another kernel is named ${name}`,
    hint: 'give it another name, or remove the one that is there: mvm kernel remove',
  });
}

/** Writes a kernel's directory, durably. */
async function stage(
  dir: string,
  record: KernelRecord,
  vmlinux: Buffer,
  modules: readonly KernelModule[],
): Promise<void> {
  const modulesDir = join(dir, 'modules');
  await mkdir(modulesDir, { recursive: true });
  const file = await open(join(dir, 'vmlinux'), 'wx', 0o444);
  try {
    await file.writeFile(vmlinux);
    await file.chmod(0o444);
    await file.utimes(FIXED_TIME_SEC, FIXED_TIME_SEC);
    await file.sync();
  } finally {
    await file.close();
  }
  for (const { fileName, data } of modules) await writeNewFile(join(modulesDir, fileName), data, 0o644);
  await writeNewFile(join(dir, 'kernel.json'), `${JSON.stringify(record)}\n`, 0o644);
  await syncDirectory(modulesDir);
  await syncDirectory(dir);
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
