/**
 * The Debian package in a Debian guest with systemd: two commands install mvm, an upgrade keeps VMs, a purge leaves nothing.
 * The tests are steps of one story, in this order.
 */
import { describe, expect } from 'vitest';
import { buildPackageImage, PACKAGES } from '../../src/package-image.js';
import { addImageAndApply, apply, desiredState, tellStory } from '../../src/story.js';

const UNITS = ['mvm-vms.service', 'mvm-hostd.socket', 'mvm-hostd.service', 'mvm-agentd.service'];
const { guest, step, ok, until } = tellStory(buildPackageImage);

interface Listed {
  readonly tenant_id: string;
  readonly instance_id: string;
  readonly status: string;
  readonly pid: number | null;
}

/** The only instance of a tenant: what an upgrade must not change of it. */
async function instanceOf(tenant: string): Promise<Listed> {
  const { items } = JSON.parse(await ok('mvm instance list -o json')) as { items: Listed[] };
  const [instance, ...others] = items.filter(({ tenant_id }) => tenant_id === tenant);
  if (instance === undefined || others.length > 0)
    throw new Error(`not one instance: ${JSON.stringify(items)}`);
  const { tenant_id, instance_id, status, pid } = instance;
  return { tenant_id, instance_id, status, pid };
}

const succeeds = async (script: string): Promise<boolean> => (await guest().run(script)).status === 0;

const bootIds = (tenant: string): Promise<string> =>
  ok(`grep -hao 'boot_id=\\S*' /var/lib/mvm/tenants/${tenant}/pools/*/instances/*/runtime/console.log`);

describe('the Debian package under systemd', () => {
  let awake: Listed;

  step('is installed and set up by two commands', async () => {
    // An emulated machine needs longer than a real one for the daemons' start.
    await ok(`
      for daemon in mvm-hostd mvm-agentd; do
        mkdir -p /etc/systemd/system/$daemon.service.d
        printf '[Service]\\nTimeoutStartSec=900\\n' >/etc/systemd/system/$daemon.service.d/emulated.conf
      done`);
    expect(await ok(`dpkg --install /opt/mvm/${PACKAGES.first} 2>&1`)).toContain('Next: mvm setup');
    expect((await guest().run(`systemctl is-active ${UNITS.join(' ')}`)).stdout).not.toContain('\nactive');
    // The kernel would be downloaded, and the guest has no network.
    const output = await ok('mvm setup --no-kernel 2>&1');
    expect(output).toMatch(/^units .*now and at boot$/m);
    expect(output).toMatch(/^daemons +running$/m);
    expect(output).toContain('mvm apply -f state.yaml');
    for (const question of ['is-active', 'is-enabled'])
      await ok(`for unit in ${UNITS.join(' ')}; do systemctl ${question} $unit; done`);
    expect(await ok('mvm setup --no-kernel')).toContain('everything is set up already');
  });

  step('runs VMs, and one that sleeps', async () => {
    const one = { running: 1, sleeping: 0 };
    await ok(addImageAndApply('/opt/mvm/image', desiredState({ acme: one, globex: one })));
    for (const tenant of ['acme', 'globex']) {
      const log = `/var/lib/mvm/tenants/${tenant}/pools/*/instances/*/runtime/console.log`;
      await until(`the guest of ${tenant} is ready`, () => succeeds(`grep -qa '^mvm-guest ready' ${log}`));
    }
    await ok(apply(desiredState({ acme: one, globex: { running: 0, sleeping: 1 } })));
    await until('globex sleeps', () => succeeds(`mvm instance list globex -o json | grep -q '"sleeping"'`));
    awake = await instanceOf('acme');
    expect(awake.status).toBe('running');
  });

  step('keeps VMs running through an upgrade, and what sleeps wakes after it', async () => {
    const boots = await bootIds('globex');
    await ok(`dpkg --install /opt/mvm/${PACKAGES.next}`);
    expect(await ok('dpkg-query -W mvm')).toMatch(/\+next$/);
    await until('agentd reaches hostd', () => succeeds('mvm ping'));
    expect(await instanceOf('acme')).toEqual(awake);
    const asleep = await instanceOf('globex');
    expect(asleep.status).toBe('sleeping');
    await ok(`mvm instance wake globex/workers/${asleep.instance_id}`);
    expect((await instanceOf('globex')).status).toBe('running');
    expect(await bootIds('globex')).toBe(boots);
  });

  step('says at a downgrade what it cannot do, and keeps VMs running', async () => {
    const output = await ok(`dpkg --install /opt/mvm/${PACKAGES.first} 2>&1`);
    expect(output).toMatch(/downgrade from \S+\+next to/);
    await until('agentd reaches hostd', () => succeeds('mvm ping'));
    expect(await instanceOf('acme')).toEqual(awake);
  });

  step('is not removed while VMs run, and leaves nothing after a purge', async () => {
    const refused = await guest().run('dpkg --remove mvm');
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain('VMs still run');
    expect(await instanceOf('acme')).toEqual(awake);
    const nothing = { running: 0, sleeping: 0 };
    await ok(apply(desiredState({ acme: nothing, globex: nothing })));
    await ok(`mvm instance list -o name | xargs mvm instance destroy --yes`);
    await ok('dpkg --purge mvm');
    const left = await ok(`
      find / -xdev -path /proc -prune -o -path /root -prune -o -name '*mvm*' -print | grep -v -e mvm-control -e '^/opt/mvm$' \\
        -e /emulated.conf -e '^/etc/systemd/system/mvm-[a-z]*.service.d$' || true
      getent passwd mvm || true; getent group mvm || true
      ip -o link | grep -E 'tenant|tn[0-9]' || true
      nft list tables
      find /sys/fs/cgroup -name '*mvm*' | grep -v -e mvm-control -e opt-mvm.mount || true
      systemctl list-units --all --plain --no-legend 'mvm-[ahv]*' | grep -v mvm-control || true`);
    expect(left).toBe('');
  });
});
