/**
 * Which part of a cgroup path is systemd's, and which part is ours.
 *
 * INVARIANTS: in systemd's part, only the controllers of the delegated unit are changed. Source: systemd's docs, "Control
 * Group APIs and Delegation".
 */
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { errnoOf } from '../state/fs-error.js';
import { readControl } from './cgroup-tree.js';
import { CONTROLLERS } from './hierarchies.js';

/** A path such as `mvm.slice/mvm-vms.service/vms`, split after the last of systemd's units. */
export interface ParentPath {
  /** Empty when no unit is in the path. */
  readonly unit: string;
  /** Empty when the path ends with a unit. */
  readonly own: string;
}

/** Pure. Units are recognised by their suffixes, which systemd does not give to anything else. */
export function splitParent(parent: string): ParentPath {
  const parts = parent.split('/');
  const last = parts.findLastIndex((part) => /\.(slice|service|scope)$/.test(part));
  return { unit: parts.slice(0, last + 1).join('/'), own: parts.slice(last + 1).join('/') };
}

/**
 * Checks that the unit of a parent has a cgroup, which it has while it is active, and that what systemd gives it includes
 * the controllers that limit a VM. Throws `failed_precondition`, reason `cgroup.not_delegated`.
 */
export async function checkDelegation(root: string, { unit }: ParentPath): Promise<void> {
  if (unit === '') return;
  const directory = join(root, unit);
  const controllers = (await readControl(directory, 'cgroup.controllers'))?.split(' ');
  if (controllers === undefined) throw notDelegated(unit, 'has no cgroup');
  const missing = CONTROLLERS.filter((name) => !controllers.includes(name));
  if (missing.length > 0) throw notDelegated(unit, `is not given the controllers ${missing.join(', ')}`);
}

/**
 * Lets the cgroups below a directory use the controllers that limit a VM; writes nothing when they already may.
 * PRIVILEGE: cgroup files belong to root. Throws `cgroup.not_delegated` for a unit's directory that is gone, or that
 * holds processes.
 */
export async function enableControllers(directory: string, unit: string): Promise<void> {
  const enabled = (await readControl(directory, 'cgroup.subtree_control'))?.split(' ') ?? [];
  if (CONTROLLERS.every((name) => enabled.includes(name))) return;
  try {
    await access(directory);
    await writeFile(
      join(directory, 'cgroup.subtree_control'),
      CONTROLLERS.map((name) => `+${name}`).join(' '),
    );
  } catch (error) {
    if (unit === '' || !directory.endsWith(`/${unit}`)) throw error;
    const errno = errnoOf(error);
    if (errno === 'ENOENT') throw notDelegated(unit, 'has no cgroup');
    if (errno === 'EBUSY') throw notDelegated(unit, 'has processes in its own cgroup');
    throw error;
  }
}

function notDelegated(unit: string, why: string): CodedError {
  const name = unit.slice(unit.lastIndexOf('/') + 1);
  return new CodedError({
    code: 'failed_precondition',
    reason: 'cgroup.not_delegated',
    message: `VMs’ cgroups belong into ${unit}, which ${why}`,
    hint: `Start it (systemctl start ${name}); compare it with the mvm-vms.service that is shipped.`,
    details: { unit },
  });
}
