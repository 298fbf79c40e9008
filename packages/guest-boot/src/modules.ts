import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { kernelUnusable } from './errors.js';

/** A kernel module with what must be loaded before it. */
export interface KernelModule {
  /** As the kernel names it: underscores only. */
  readonly name: string;
  /** e.g. `virtio-rng.ko`. */
  readonly fileName: string;
  readonly data: Buffer;
  readonly dependsOn: readonly string[];
}

/**
 * The wanted modules and everything they depend on, in loading order: whatever a module depends on stands before it.
 * Pure. Throws `kernel.unusable` when one is missing.
 */
export function orderModules(
  available: ReadonlyMap<string, KernelModule>,
  wanted: readonly string[],
): KernelModule[] {
  const ordered = new Map<string, KernelModule>();
  const visit = (name: string, path: readonly string[]): void => {
    if (ordered.has(name)) return;
    const module = available.get(name);
    if (module === undefined || path.includes(name)) {
      throw kernelUnusable(
        `the kernel package lacks the module ${name}${path.length > 0 ? `, which ${path.join(' → ')} needs` : ''}`,
        'Use a Debian 12 cloud kernel.',
      );
    }
    for (const dependency of module.dependsOn) visit(dependency, [...path, name]);
    ordered.set(name, module);
  };
  for (const name of wanted) visit(name, []);
  return [...ordered.values()];
}

/** Reads the wanted modules below a directory, and what they depend on; uncompressed ones (`.ko`) only. */
export async function readModules(
  directory: string,
  wanted: readonly string[],
): Promise<Map<string, KernelModule>> {
  const paths = new Map<string, string>();
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch((error: Error) => {
    const hint = 'Give the directory of its modules, e.g. /lib/modules/<version>.';
    throw kernelUnusable(`cannot read the modules in ${directory}: ${error.message}`, hint, error);
  });
  for (const entry of entries) {
    if (!entry.isFile() || !entry.name.endsWith('.ko')) continue;
    paths.set(basename(entry.name, '.ko').replaceAll('-', '_'), join(entry.parentPath, entry.name));
  }
  const modules = new Map<string, KernelModule>();
  const pending = [...wanted];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const path = paths.get(name);
    if (path === undefined || modules.has(name)) continue;
    const data = await readFile(path);
    const dependsOn = parseDependencies(data);
    modules.set(name, { name, fileName: basename(path), data, dependsOn });
    pending.push(...dependsOn);
  }
  return modules;
}

/** The names in a module's `.modinfo` field `depends`. Source: modinfo(8). */
export function parseDependencies(module: Buffer): string[] {
  const key = Buffer.from('\0depends=', 'latin1');
  const start = module.indexOf(key);
  if (start < 0) return [];
  const end = module.indexOf(0, start + key.length);
  const text = module.toString('latin1', start + key.length, end);
  return text
    .split(',')
    .filter((name) => name !== '')
    .map((name) => name.replaceAll('-', '_'));
}
