/**
 * The units under systemd 252 with cgroup version 2, in a Debian guest in which mvm is installed as docs/install.md says.
 * The tests are steps of one story, in this order: a test builds on the guest as the one before has left it.
 */
import { describe, expect } from 'vitest';
import { documentedExposure, installCommands } from '../../src/install.js';
import { buildProductImage } from '../../src/product-image.js';
import { addImageAndApply, desiredState, REPO, tellStory } from '../../src/story.js';

const VMS = '/sys/fs/cgroup/mvm.slice/mvm-vms.service/vms';
const { guest, step, ok, until } = tellStory(buildProductImage);

async function property(unit: string, name: string): Promise<string> {
  return ok(`systemctl show -P ${name} ${unit}`);
}

interface Vm {
  readonly pid: number;
  /** Of /proc/pid/stat: with the pid, which process it is. */
  readonly started: string;
  readonly cgroup: string;
  readonly oomScoreAdj: string;
  readonly limits: Readonly<Record<string, string>>;
}

const LIMITS = ['memory.max', 'memory.swap.max', 'cpu.max', 'pids.max'];

async function vms(): Promise<Vm[]> {
  const text = await ok(`
    for pid in $(pgrep -f '^qemu-system' || true); do
      echo "$pid $(cut -d' ' -f22 /proc/$pid/stat) $(cut -d: -f3 /proc/$pid/cgroup) $(cat /proc/$pid/oom_score_adj)"
      for file in ${LIMITS.join(' ')}; do echo "$file=$(cat /sys/fs/cgroup$(cut -d: -f3 /proc/$pid/cgroup)/$file)"; done
    done`);
  const found: Vm[] = [];
  for (const line of text.split('\n').filter((entry) => entry !== '')) {
    const limit = /^([a-z.]+)=(.*)$/.exec(line);
    const last = found.at(-1);
    if (limit !== null && last !== undefined) {
      found[found.length - 1] = { ...last, limits: { ...last.limits, [limit[1] ?? '']: limit[2] ?? '' } };
      continue;
    }
    const [pid = '', started = '', cgroup = '', oomScoreAdj = ''] = line.split(' ');
    found.push({ pid: Number(pid), started, cgroup, oomScoreAdj, limits: {} });
  }
  return found.sort((a, b) => (a.cgroup < b.cgroup ? -1 : 1));
}

/** Two VMs, in their cgroups; hostd has nothing under way. */
const twoVms = (): Promise<Vm[]> =>
  until('two VMs', async () => {
    const found = await vms();
    return found.length === 2 && found.every(({ cgroup }) => cgroup.includes('mvm-vms')) ? found : null;
  });

const active = (unit: string): Promise<string> =>
  until(`${unit} is active`, async () =>
    (await guest().run(`systemctl is-active ${unit}`)).status === 0 ? unit : null,
  );

/** A request of version 1, as a script. */
const PING = `node - <<'.'
  const socket = require('node:net').connect({ path: '/run/mvm/hostd.sock', allowHalfOpen: true });
  socket.end(Buffer.concat([Buffer.from([0, 0, 0, 6]), Buffer.from('"Ping"')]));
  socket.on('data', (data) => process.stdout.write(data.subarray(4)));
.`;

describe('mvm under systemd', () => {
  let before: Vm[];

  step(
    'is installed as docs/install.md says, and its socket starts hostd for the first request',
    async () => {
      expect(await ok('systemctl --version | head -1; stat -fc %T /sys/fs/cgroup')).toMatch(
        /^systemd 252[\s\S]*cgroup2fs$/,
      );
      const links = (await installCommands(REPO, 'Programs'))
        .split('\n')
        .filter((line) => line.startsWith('ln '));
      expect(links).toHaveLength(3);
      await ok(`ln -s /opt/mvm/.node/bin/node /usr/bin/node\n${links.join('\n')}`);
      // Tenants' keys: one in the clear, one as systemd encrypts it.
      await ok(`
      mkdir -p /etc/credstore /etc/systemd/system/mvm-hostd.service.d
      (umask 077; openssl rand -hex 32 >/etc/credstore/acme.key
       openssl rand -hex 32 | systemd-creds encrypt --with-key=host --name=globex.key - /etc/credstore/globex.cred)
      cat >/etc/systemd/system/mvm-hostd.service.d/keys.conf <<'.'
[Service]
LoadCredential=acme.key:/etc/credstore/acme.key
LoadCredentialEncrypted=globex.key:/etc/credstore/globex.cred
.
      for daemon in mvm-hostd mvm-agentd; do
        mkdir -p /etc/systemd/system/$daemon.service.d
        printf '[Service]\\nTimeoutStartSec=900\\n' >/etc/systemd/system/$daemon.service.d/emulated.conf
      done`);
      const [enable, ...files] = (await installCommands(REPO, 'Daemons, with systemd'))
        .trimEnd()
        .split('\n')
        .reverse();
      await ok(`cd /opt/mvm && set -e\n${files.reverse().join('\n')}\nsystemctl start mvm-hostd.socket`);
      expect((await guest().run('systemctl is-active mvm-hostd.service')).stdout).toBe('inactive\n');
      expect(await ok(PING)).toBe('"Pong"');
      expect(await ok('systemctl is-active mvm-hostd.service mvm-vms.service')).toBe('active\nactive');
      await ok(enable ?? '');
      expect(await ok('systemctl is-enabled mvm-vms mvm-hostd.socket mvm-hostd mvm-agentd')).toBe(
        'enabled\nenabled\nenabled\nenabled',
      );
    },
  );

  step('runs VMs in the subtree that systemd delegates, each with its limits', async () => {
    const one = { running: 1, sleeping: 0 };
    await ok(
      addImageAndApply('/opt/mvm/.cache/guest-image/image-*', desiredState({ acme: one, globex: one })),
    );
    before = await twoVms();
    expect(before.map(({ cgroup }) => cgroup)).toEqual(
      ['tn3i3', 'tn4i3'].map((name) => `/mvm.slice/mvm-vms.service/vms/${name}`),
    );
    for (const { limits, oomScoreAdj } of before) {
      expect(limits).toEqual({
        'memory.max': expect.stringMatching(/^\d{9}$/),
        'memory.swap.max': '0',
        'cpu.max': '100000 100000',
        'pids.max': expect.stringMatching(/^\d{2,3}$/),
      });
      expect(oomScoreAdj).toBe('0');
    }
    // Nothing of ours in the root of systemd's tree, and hostd with its programs alone in its unit.
    expect(await ok('ls -d /sys/fs/cgroup/*mvm*')).toBe('/sys/fs/cgroup/mvm.slice');
    expect(await ok('cat /proc/$(systemctl show -P MainPID mvm-hostd)/oom_score_adj')).toBe('-900');
  });

  step('gives hostd tenants’ keys as credentials: volumes are encrypted with them', async () => {
    const headers = await ok('head -qc 4 /var/lib/mvm/tenants/*/pools/*/instances/*/volumes/data.* | base64');
    expect(Buffer.from(headers, 'base64').toString('latin1')).toBe('LUKSLUKS');
    expect(await ok('ls -ld /run/credentials/mvm-hostd.service')).toMatch(/^dr-x------/);
    const visible = await guest().run(
      'setpriv --reuid mvm --regid mvm --clear-groups ls /run/credentials/mvm-hostd.service',
    );
    expect(visible.status).not.toBe(0);
  });

  step('keeps VMs and limits when both daemons restart, and when systemd reads its units again', async () => {
    const hostd = await property('mvm-hostd', 'MainPID');
    await ok('systemctl restart mvm-hostd mvm-agentd');
    expect(await property('mvm-hostd', 'MainPID')).not.toBe(hostd);
    await ok('systemctl daemon-reload; systemctl daemon-reexec');
    expect(await vms()).toEqual(before);
    expect(
      await ok('journalctl -u mvm-hostd -o cat --no-pager | grep "in line with the records" | tail -1'),
    ).toContain('"adopted":2,"lost":0');
  });

  step('keeps VMs and limits while hostd is stopped, and leaves no process of its own', async () => {
    await ok('systemctl stop mvm-hostd mvm-hostd.socket; systemctl daemon-reload');
    expect(await vms()).toEqual(before);
    expect((await guest().run('cat /sys/fs/cgroup/system.slice/mvm-hostd.service/cgroup.procs')).stdout).toBe(
      '',
    );
  });

  step('leaves hostd alone after a crash loop, with VMs running, until it is reset', async () => {
    await ok('systemctl start mvm-hostd.socket; systemctl start --no-block mvm-hostd');
    // In the guest, so that six starts take less than the two minutes of the limit.
    await ok(`
      until [ "$(systemctl show -P SubState mvm-hostd)" = failed ]; do
        for n in {1..30}; do
          kill -KILL $(cat /sys/fs/cgroup/system.slice/mvm-hostd.service/cgroup.procs) 2>/dev/null
          sleep 0.2
        done
      done`);
    expect(await ok('journalctl -u mvm-hostd -o cat --no-pager')).toContain(
      'Start request repeated too quickly',
    );
    // The next connection, which agentd tries, closes the socket.
    await until('the socket is closed', async () =>
      (await property('mvm-hostd.socket', 'Result')) === 'service-start-limit-hit' ? true : null,
    );
    expect(await vms()).toEqual(before);
    await ok(`
      systemctl reset-failed mvm-hostd.service mvm-hostd.socket
      systemctl start mvm-hostd.socket mvm-hostd.service`);
    expect(await vms()).toEqual(before);
  });

  step('ends and restarts daemons that hang', async () => {
    const daemons = ['mvm-hostd', 'mvm-agentd'];
    await active('mvm-agentd.service');
    const restarts = (): Promise<number[]> =>
      Promise.all(daemons.map(async (unit) => Number(await property(unit, 'NRestarts'))));
    const earlier = await restarts();
    for (const unit of daemons) {
      expect(await property(unit, 'WatchdogUSec')).toBe('1min');
      await ok(`kill -STOP ${await property(unit, 'MainPID')}`);
    }
    await until('both are restarted', async () =>
      (await restarts()).every((count, index) => count > (earlier[index] ?? 0)) ? true : null,
    );
    for (const unit of daemons) {
      await active(`${unit}.service`);
      expect(await ok(`journalctl -u ${unit} -o cat --no-pager`)).toMatch(/Watchdog timeout/);
    }
    expect(await vms()).toEqual(before);
    expect(await ok(PING)).toBe('"Pong"');
  });

  step('one VM that runs out of memory ends alone, and agentd starts it again', async () => {
    await active('mvm-agentd.service');
    const [victim, other] = before;
    await guest().run(`echo 1M >/sys/fs/cgroup${victim?.cgroup}/memory.max`);
    await until('the kernel ended it', async () =>
      (await guest().run(`kill -0 ${victim?.pid}`)).status === 0 ? null : true,
    );
    const after = await twoVms();
    expect(after[1]).toEqual(other);
    expect(after[0]?.pid).not.toBe(victim?.pid);
    expect(after[0]?.limits).toEqual(victim?.limits);
  });

  step('is exposed as little as docs/install.md says', async () => {
    const documented = await documentedExposure(REPO);
    const units = ['mvm-hostd.service', 'mvm-agentd.service'];
    expect(Object.keys(documented)).toEqual(units);
    const measured: Record<string, number> = {};
    for (const unit of units) {
      const text = await ok(`systemd-analyze security --no-pager ${unit} | tail -1`);
      measured[unit] = Number(/level for \S+: (\d+\.\d)/.exec(text)?.[1]);
    }
    expect(measured).toEqual(documented);
  });

  step('lets VMs use their network, and hostd probe it with packets', async () => {
    const consoles = await until('both VMs are ready', async () => {
      const { stdout } = await guest().run(
        'grep -ha "^mvm-guest ready" /var/lib/mvm/tenants/*/pools/*/instances/*/runtime/console.log',
      );
      return stdout.includes('tenant=acme') && stdout.includes('tenant=globex') ? stdout : null;
    });
    expect(consoles.match(/gateway_ping=\S+/g)?.every((word) => word === 'gateway_ping=ok')).toBe(true);
    const report = await ok('mvm net verify acme --deep -o json');
    const { probes } = JSON.parse(report) as { probes: { name: string; outcome: string }[] };
    expect(probes.filter(({ outcome }) => outcome === 'not_as_wanted')).toEqual([]);
    expect(probes.find(({ name }) => name === 'gateway-ping')).toMatchObject({ outcome: 'as_wanted' });
  });

  step('starts what is wanted after a reboot', async () => {
    const boot = guest().bootId;
    await guest().reboot();
    expect(guest().bootId).not.toBe(boot);
    const after = await twoVms();
    expect(after.map(({ cgroup, limits }) => ({ cgroup, limits }))).toEqual(
      before.map(({ cgroup, limits }) => ({ cgroup, limits })),
    );
    expect(await ok('systemctl list-units --failed --no-legend --plain "mvm*"')).toBe('');
  });

  step('ends all VMs with the unit that they are in', async () => {
    await ok('systemctl stop mvm-agentd mvm-vms');
    expect(await vms()).toEqual([]);
    expect((await guest().run(`ls ${VMS}`)).status).not.toBe(0);
  });
});
