import { type Check, type Finding, fail, ok, skip } from './check.js';
import type { HostProbe } from './host-probe.js';

/** hostd's default `tenant_keys_dir`. */
const KEYS_DIR = '/etc/mvm/keys';

/** The files that hold tenants' keys: a sleep, a wake or a start that needs one which hostd refuses fails. */
export const keyChecks: readonly Check<HostProbe>[] = [
  { name: 'tenant-keys', area: 'accounts', run: checkKeys },
];

async function checkKeys(host: HostProbe): Promise<Finding> {
  if (host.uid !== 0) return skip('only root may look at keys');
  const names = (await host.list(KEYS_DIR)).filter((name) => name.endsWith('.key'));
  if (names.length === 0) return ok(`none in ${KEYS_DIR}: snapshots and data volumes are not encrypted`);
  for (const name of names) {
    const path = `${KEYS_DIR}/${name}`;
    const { output } = await host
      .run('stat', ['--format=%F %u %a', path])
      .then((answer) => (answer.kind === 'ran' ? answer : { output: '' }));
    if (!/^regular (empty )?file 0 [0-7]?00$/.test(output)) {
      return fail(
        `${path} must be a file that only root may read`,
        `chown root: ${path} && chmod 0600 ${path}`,
      );
    }
    if (!/^[0-9a-f]{64}\s*$/i.test((await host.readText(path)) ?? '')) {
      return fail(
        `${path} does not hold 64 hexadecimal digits`,
        'put the key back; for a tenant that never had one: openssl rand -hex 32',
      );
    }
  }
  return ok(`${names.length} in ${KEYS_DIR}`);
}
