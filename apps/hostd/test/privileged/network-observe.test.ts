import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import type { NetworkCommand, NetworkReport } from '@mvm/protocol';
import { until } from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureTenantAndPool } from '../tenants.js';

let host: Host;
let client: HostdClient;

beforeAll(async () => {
  // Named namespaces of this file's own mount namespace, so that the host's directory stays as it is.
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run']);
  host = await createHost();
  await host.start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await ensureTenantAndPool(client, 'globex', 4);
});
afterAll(() => host.dispose());

const run = (program: string, args: string[], input = ''): string =>
  execFileSync(program, args, { encoding: 'utf8', input });

/** Everything in this namespace that mvm could have touched, counters aside. */
function kernelState(): string {
  return [
    run('nft', ['-s', 'list', 'ruleset']),
    run('ip', ['-d', '-j', 'address', 'show']).replace(/"(?:valid|preferred)_life_time":\d+/g, ''),
    run('ip', ['-4', 'rule', 'show']),
  ]
    .join('\n')
    .replace(/"(?:gc_timer|tcn_timer|topology_change_timer|hello_timer)":[\d.]+/g, '');
}

const verify = (tenant_id?: string): Promise<NetworkReport> =>
  client.request({ type: 'VerifyNetwork', ...(tenant_id === undefined ? {} : { tenant_id }) });

/** Applies what PlanNetwork answered as an operator would, inside `prefix` (e.g. another namespace). */
function apply(commands: readonly NetworkCommand[], prefix: readonly string[] = []): void {
  for (const { program, args, script } of commands) {
    const [first, ...rest] = [
      ...prefix,
      ...(program === 'sysctl' ? ['sysctl', '-q', '-p', '-'] : [program, ...args]),
    ];
    run(first ?? '', rest, script);
  }
}

test('a host in line has no drift, and says how much was compared', async () => {
  const report = await verify();
  expect(report).toMatchObject({ tenant_id: null, drifts: [], drift_count: 0, probes: null });
  const checked = Object.fromEntries(report.kinds.map(({ object, checked }) => [object, checked]));
  expect(checked).toMatchObject({ bridge: 2, address: 2, tap: 0, table: 2, rule: 2 });
  expect(checked.element).toBeGreaterThan(8);
  expect(checked.sysctl).toBeGreaterThan(8);
  const one = await verify('acme');
  expect(one).toMatchObject({ tenant_id: 'acme', drift_count: 0 });
  expect(one.kinds.find(({ object }) => object === 'bridge')?.checked).toBe(1);
});

// hostd itself looks every ten seconds and repairs: what is repaired before it is seen is broken once more.
const damages = [
  {
    what: 'an element that is gone',
    damage: () => {
      const element = 'element inet mvm gw { "br-tenant-3" . 10.240.3.1 }';
      run('nft', ['-f', '-'], `add ${element}\ndelete ${element}\n`);
    },
    drift: { object: 'element', name: 'gw br-tenant-3 . 10.240.3.1', state: 'missing' },
  },
  {
    what: 'an element that no record names',
    damage: () => run('nft', ['add', 'element', 'bridge', 'mvm', 'taps', '{ "tn3i77" }']),
    drift: { object: 'element', name: 'taps tn3i77', state: 'unwanted' },
  },
  {
    what: 'another address on the bridge',
    damage: () => run('ip', ['address', 'replace', '10.240.3.9/24', 'dev', 'br-tenant-3']),
    drift: { object: 'address', name: 'br-tenant-3 10.240.3.9/24', state: 'unwanted' },
  },
  {
    what: 'a bridge that is down',
    damage: () => run('ip', ['link', 'set', 'br-tenant-3', 'down']),
    drift: { object: 'bridge', name: 'br-tenant-3', state: 'different' },
  },
  {
    what: 'a TAP that no record names',
    damage: () => {
      if (!run('ip', ['-o', 'link']).includes('tn3i88'))
        run('ip', ['tuntap', 'add', 'tn3i88', 'mode', 'tap']);
    },
    drift: { object: 'tap', name: 'tn3i88', state: 'unwanted' },
  },
  {
    what: 'a setting of the bridge',
    damage: () => writeFileSync('/proc/sys/net/ipv4/conf/br-tenant-3/proxy_arp', '1'),
    drift: { object: 'sysctl', name: 'net/ipv4/conf/br-tenant-3/proxy_arp', state: 'different' },
  },
  {
    what: 'a routing rule that is gone',
    damage: () => {
      if (run('ip', ['rule']).includes('91:')) run('ip', ['rule', 'del', 'pref', '91']);
    },
    drift: { object: 'rule', name: 'isolate 10.240.0.0/12', state: 'missing' },
  },
  {
    what: 'a rule that was added to a chain',
    damage: () => run('nft', ['add', 'rule', 'inet', 'mvm', 'from_guest', 'accept']),
    drift: { object: 'table', name: 'mvm', state: 'different' },
  },
] as const;

test.each(damages)('$what is named, planned, and mended by the planned text', async ({ damage, drift }) => {
  const found = await until('the drift is named', async () => {
    damage();
    const report = await verify('acme');
    return report.drifts.some(
      ({ object, name, state }) => object === drift.object && name === drift.name && state === drift.state,
    )
      ? report
      : null;
  });
  expect(found.drift_count).toBe(found.drifts.length);
  expect(found.kinds.find(({ object }) => object === drift.object)?.drifts).toBeGreaterThan(0);
  await until('the planned text mends it', async () => {
    damage();
    const { commands, steps } = await client.request({ type: 'PlanNetwork', tenant_id: 'acme' });
    if (steps === 0) return false;
    expect(commands.length).toBeGreaterThan(0);
    try {
      apply(commands);
    } catch {
      // hostd was quicker with the same repair, e.g. had deleted the link already.
      return false;
    }
    return (await verify('acme')).drift_count === 0;
  });
  expect(await client.request({ type: 'PlanNetwork', tenant_id: 'acme' })).toMatchObject({
    steps: 0,
    commands: [],
    truncated: false,
  });
});

test("another tenant's drift is not this tenant's, but the host's", async () => {
  await until('the drift is named', async () => {
    run('ip', ['address', 'replace', '10.240.4.9/24', 'dev', 'br-tenant-4']);
    const [acme, globex, all] = [await verify('acme'), await verify('globex'), await verify()];
    return acme.drift_count === 0 && globex.drift_count === 1 && all.drift_count === 1;
  });
  apply((await client.request({ type: 'PlanNetwork', tenant_id: 'globex' })).commands);
});

test('the text for an empty host makes exactly this network', async () => {
  await until('all is well', async () => (await verify()).drift_count === 0);
  const plan = await client.request({ type: 'PlanNetwork', from_scratch: true });
  expect(plan.commands.map(({ program }) => program)).toEqual(['nft', 'ip', 'sysctl']);
  const namespace = `mvmh-${process.pid}`;
  run('ip', ['netns', 'add', namespace]);
  try {
    const inside = ['ip', 'netns', 'exec', namespace];
    apply(plan.commands, inside);
    const look = (program: string, args: string[]): string => {
      const [first, ...rest] = [...inside, program, ...args];
      return run(first ?? '', rest);
    };
    for (const family of ['bridge', 'inet']) {
      const args = ['-s', 'list', 'table', family, 'mvm'];
      expect(look('nft', args)).toBe(run('nft', args));
    }
    expect(look('ip', ['-4', 'rule', 'show'])).toBe(run('ip', ['-4', 'rule', 'show']));
    const addresses = ['-4', '-br', 'address', 'show', 'type', 'bridge'];
    expect(look('ip', addresses)).toBe(run('ip', addresses));
  } finally {
    run('ip', ['netns', 'delete', namespace]);
  }
  const one = await client.request({ type: 'PlanNetwork', tenant_id: 'acme', from_scratch: true });
  const text = one.commands.map(({ script }) => script).join('');
  expect(text).toContain('br-tenant-3');
  expect(text).not.toContain('br-tenant-4');
});

test('counters are named in words, in the order of the tables', async () => {
  const { counters, at } = await client.request({ type: 'NetworkDrops' });
  expect(Date.parse(at)).not.toBeNaN();
  expect(counters.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['c_mac', 'c_xtenant', 'c_private']),
  );
  expect(counters[0]?.table).toBe('bridge mvm');
  for (const { meaning, advice, packets } of counters) {
    expect(meaning).not.toBe('was dropped');
    expect(advice.length).toBeGreaterThan(5);
    expect(packets).toBeGreaterThanOrEqual(0);
  }
});

test('looking changes nothing and is not audited', async () => {
  await until('all is well', async () => (await verify()).drift_count === 0);
  const auditOf = () => readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
  const before = [kernelState(), await auditOf()];
  await verify();
  await verify('acme');
  await client.request({ type: 'PlanNetwork', tenant_id: 'acme', from_scratch: true });
  await client.request({ type: 'PlanNetwork' });
  await client.request({ type: 'NetworkDrops' });
  expect([kernelState(), await auditOf()]).toEqual(before);
});

test.each([
  ['an unknown tenant', 'nobody', 'tenant.not_found'],
  ['an id with nft syntax', 'a" } ; flush ruleset', 'id.invalid'],
])('%s is refused', async (_what, tenant_id, reason) => {
  await expect(client.request({ type: 'VerifyNetwork', tenant_id })).rejects.toMatchObject({ reason });
  await expect(client.request({ type: 'PlanNetwork', tenant_id })).rejects.toMatchObject({ reason });
});
