import { dirname } from 'node:path';
import { FIRECRACKER_VERSIONS, firecrackerRelease, judgeElf, parseFirecrackerVersion } from '@mvm/node-host';
import { type Check, type Finding, fail, ok, skip, warn } from './check.js';
import type { HostProbe } from './host-probe.js';

const WRITABLE_FOR_OTHERS = 0o022;
const INSTALL =
  'install firecracker and jailer of one release in /usr/local/bin, owned by root, mode 0755: docs/firecracker.md';

/** Firecracker is optional: what is installed of it must be what hostd runs. */
export const firecrackerChecks: readonly Check<HostProbe>[] = [
  { name: 'firecracker', area: 'tools', run: checkFirecracker },
];

/** The same rules as hostd's: both programs, root's, static, of this architecture and of one known release. */
async function checkFirecracker(host: HostProbe): Promise<Finding> {
  const names = ['firecracker', 'jailer'] as const;
  const found = await Promise.all(names.map((name) => host.program(name)));
  if (found.every((file) => file === null))
    return skip(`not installed: QEMU runs the guests (${INSTALL} for Firecracker)`);
  const versions: string[] = [];
  for (const [index, file] of found.entries()) {
    const name = names[index] as (typeof names)[number];
    if (file === null) return fail(`${name} is not installed`, INSTALL);
    const { path, uid, mode, head } = file;
    if (uid !== 0 || (mode & WRITABLE_FOR_OTHERS) !== 0)
      return fail(
        `${path} ${uid === 0 ? 'can be written by others than root' : `belongs to user ${uid}`}: hostd does not run it`,
        `chown root:root ${path} && chmod 0755 ${path}`,
      );
    if (await host.isOpenToOthers(dirname(path)))
      return fail(`others than root can change ${dirname(path)}: hostd runs no ${name} of there`, INSTALL);
    const problem = judgeElf(head, host.arch);
    if (problem !== null) return fail(`${path} cannot run in a jail: ${problem.why}`, INSTALL);
    const answer = await host.run(name, ['--version']);
    const version = answer.kind === 'ran' ? parseFirecrackerVersion(answer.output) : null;
    if (version === null) return fail(`${path} is no ${name}: it tells no version`, INSTALL);
    versions.push(version);
  }
  const [version = '', jailer = ''] = versions;
  if (version !== jailer) return fail(`firecracker is ${version} and its jailer ${jailer}`, INSTALL);
  const text = `firecracker and jailer ${version}`;
  return firecrackerRelease(version) === null
    ? warn(
        `${text}: this mvm does not know the release, so instances start and cannot sleep`,
        `install one of ${FIRECRACKER_VERSIONS.join(', ')}, or a newer mvm`,
      )
    : ok(text);
}
