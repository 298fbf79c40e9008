import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * @typedef {object} Tier
 * @property {string} name the vitest project and the suffix of the turbo task
 * @property {boolean} inOneRun whether one vitest runs the tests of all packages, as a turbo task of the root
 * @property {number} concurrency packages at a time
 * @property {() => string | null} missing what keeps this tier from running here; null when nothing does
 */

/** The tiers in the order in which they run. @type {Tier[]} */
export const TIERS = [
  { name: 'unit', inOneRun: true, concurrency: 1, missing: () => null },
  { name: 'property', inOneRun: true, concurrency: 1, missing: () => null },
  { name: 'contract', inOneRun: false, concurrency: 2, missing: () => null },
  { name: 'integration', inOneRun: false, concurrency: 1, missing: () => null },
  { name: 'privileged', inOneRun: false, concurrency: 1, missing: privilegedMissing },
  { name: 'vm', inOneRun: false, concurrency: 1, missing: () => privilegedMissing() ?? vmMissing() },
];

/** @returns {string | null} */
function privilegedMissing() {
  if (process.getuid?.() !== 0) return 'needs root (run: sudo npm test)';
  const absent = ['unshare', 'ip', 'nft'].filter((tool) => !onPath(tool));
  if (absent.length > 0) return `missing: ${absent.join(', ')} (run: npm run setup)`;
  const namespaces = spawnSync('unshare', ['--net', '--mount', '--propagation', 'private', '--', 'true']);
  if (namespaces.status !== 0)
    return 'network and mount namespaces cannot be made here (container without CAP_SYS_ADMIN?)';
  if (!existsSync('/sys/fs/cgroup')) return 'no cgroup file system at /sys/fs/cgroup';
  return null;
}

/** @returns {string | null} */
function vmMissing() {
  if (!onPath('qemu-system-x86_64')) return 'missing: qemu-system-x86_64 (run: npm run setup)';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return '/dev/net/tun is missing or closed (run: modprobe tun)';
  }
  return null;
}

/** @param {string} tool */
function onPath(tool) {
  const dirs = `${process.env.PATH ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter);
  return dirs.some((dir) => dir !== '' && existsSync(join(dir, tool)));
}
