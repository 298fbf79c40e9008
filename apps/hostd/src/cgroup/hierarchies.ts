import { CodedError } from '@mvm/protocol';

/** The controllers without which a VM is not limited. */
export const CONTROLLERS = ['memory', 'cpu', 'pids'] as const;
export type Controller = (typeof CONTROLLERS)[number];

/** Where this host's cgroups are: one tree (version 2), or a tree per controller (version 1). */
export type Hierarchies =
  | { readonly version: 2; readonly root: string }
  | { readonly version: 1; readonly roots: Readonly<Record<Controller, string>> };

/**
 * Which hierarchies limit a VM on this host, from the text of /proc/self/mountinfo and, for the version 2 mount, of
 * its cgroup.controllers. A hybrid host, whose version 2 tree lacks a controller, is a version 1 host.
 * Throws `failed_precondition`, reason `cgroup.unavailable`. Source: proc(5), cgroups(7).
 */
export function findHierarchies(
  mountinfo: string,
  unifiedControllers: (root: string) => string,
): Hierarchies {
  const roots = new Map<Controller, string>();
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ');
    const root = before?.split(' ')[4];
    const [type, , options] = after?.split(' ') ?? [];
    if (root === undefined) continue;
    if (type === 'cgroup2') {
      const offered = unifiedControllers(root).split(/\s+/);
      if (CONTROLLERS.every((name) => offered.includes(name))) return { version: 2, root };
    } else if (type === 'cgroup') {
      for (const name of options?.split(',') ?? []) {
        if (isController(name)) roots.set(name, root);
      }
    }
  }
  const memory = roots.get('memory');
  const cpu = roots.get('cpu');
  const pids = roots.get('pids');
  if (memory !== undefined && cpu !== undefined && pids !== undefined) {
    return { version: 1, roots: { memory, cpu, pids } };
  }
  const missing = CONTROLLERS.filter((name) => !roots.has(name));
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'cgroup.unavailable',
    message: `no cgroup hierarchy offers the controllers that limit a VM (missing: ${missing.join(', ')})`,
    hint: 'mount cgroup2 on /sys/fs/cgroup (systemd does), and enable memory, cpu and pids on the kernel command line if they are off',
  });
}

function isController(name: string): name is Controller {
  return (CONTROLLERS as readonly string[]).includes(name);
}
