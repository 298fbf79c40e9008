import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { networkDrops, networkReport, status } from './model-data.js';
import { runMvm, startMvm } from './run-mvm.js';

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

const mvm = (...args: string[]) => runMvm(['net', ...args], { socket: agentd.socketPath });

const drift = {
  object: 'element',
  name: 'gw br-tenant-3 . 10.240.3.1',
  state: 'missing',
  detail: 'not in\u001b[31m the set',
} as const;

describe('verify', () => {
  it('says how much was compared, and ends with 0', async () => {
    expect(await mvm('verify', 'acme')).toEqual({
      code: 0,
      stderr: '',
      stdout: 'acme: as recorded (1 bridge, 2 addresses, 17 set elements; 21ms)\n',
    });
    expect(agentd.calls.at(-1)?.query).toEqual({ tenant: 'acme', deep: false });
  });

  it('names each difference, what repairs it, and ends with 4', async () => {
    agentd.overrides.verifyNetwork = () => ({
      ...networkReport('acme', false),
      drifts: [drift],
      drift_count: 3,
    });
    const { code, stdout, stderr } = await mvm('verify', 'acme');
    expect(code).toBe(4);
    expect(stdout).toMatch(/^acme: 3 differences /);
    expect(stdout).toContain('element   gw br-tenant-3 . 10.240.3.1   missing   not in');
    expect(stdout).not.toContain('\u001b');
    expect(stderr).toContain('and 2 more differences');
    expect(stderr).toContain('"mvm net plan acme"');
    const json = await mvm('verify', 'acme', '-o', 'json');
    expect(json.code).toBe(4);
    expect(JSON.parse(json.stdout)).toMatchObject({ kind: 'NetworkReport', drift_count: 3, drifts: [drift] });
  });

  it('a probe that got through ends with 4 as well', async () => {
    const probe = { name: 'other-tenant', expects: 'blocked', counter: 'c_xtenant' } as const;
    agentd.overrides.verifyNetwork = () => ({
      ...networkReport('acme', true),
      probes: [{ ...probe, outcome: 'not_as_wanted', detail: 'answered' }],
    });
    const { code, stdout, stderr } = await mvm('verify', 'acme', '--deep');
    expect(code).toBe(4);
    expect(stdout).toMatch(/other-tenant +be blocked +not as wanted +c_xtenant +answered/);
    expect(stderr).toContain('is a hole');
  });

  it('a probe that was skipped does not', async () => {
    const probe = { name: 'other-tenant', expects: 'blocked', counter: 'c_xtenant' } as const;
    agentd.overrides.verifyNetwork = () => ({
      ...networkReport('acme', true),
      probes: [{ ...probe, outcome: 'skipped', detail: 'no other tenant' }],
    });
    expect((await mvm('verify', 'acme', '--deep')).code).toBe(0);
  });

  it('goes through all tenants with --deep alone', async () => {
    const { stdout, code } = await mvm('verify', '--deep', '-o', 'json');
    expect(code).toBe(0);
    const { kind, items } = JSON.parse(stdout) as { kind: string; items: { tenant_id: string | null }[] };
    expect(kind).toBe('NetworkReportList');
    expect(items.map(({ tenant_id }) => tenant_id)).toEqual([null, 'acme', 'globex']);
  });

  it('refuses what is no tenant id, before asking', async () => {
    const { code, stderr } = await mvm('verify', 'a;b');
    expect(code).toBe(2);
    expect(stderr).toContain('Tenant');
    expect(agentd.calls).toEqual([]);
  });
});

describe('plan', () => {
  it('prints a script that runs as it stands', async () => {
    const { code, stdout, stderr } = await mvm('plan', 'acme', '--from-scratch');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      [
        "nft -f - <<'END'",
        'add element inet mvm bridges { "br-tenant-3" }',
        'END',
        "sysctl -q -p - <<'END'",
        'net/ipv4/conf/br-tenant-3/rp_filter=1',
        'END',
        '',
      ].join('\n'),
    );
  });

  it('prints nothing, and says so, when all is well', async () => {
    const { code, stdout, stderr } = await mvm('plan', 'acme');
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('nothing would run');
  });
});

describe('drops', () => {
  it('shows what has counted, in words', async () => {
    const { stdout, stderr } = await mvm('drops');
    expect(stdout).toMatch(/^COUNTER +PACKETS +BYTES +THE PACKET\nc_private +3 +180B +was for a private/);
    expect(stdout).not.toContain('c_none');
    expect(stderr).toContain('1 more counters');
    expect((await mvm('drops', '-o', 'wide')).stdout).toMatch(/c_none.*the policy decides/);
  });

  it('watches what moves', async () => {
    let packets = 3;
    agentd.overrides.getNetworkDrops = () => {
      packets += 2;
      return networkDrops(packets);
    };
    const running = startMvm(['net', 'drops', '--watch'], { socket: agentd.socketPath });
    await running.sawOutput('c_private  +2 packets, +120B: the packet was for a private');
    running.child.kill('SIGINT');
    expect((await running.finished).code).toBe(130);
    expect((await mvm('drops', '--watch', '-o', 'json')).code).toBe(2);
  });
});

describe('why', () => {
  const WEB = 'acme/web/i-00000001';

  it('says which rule keeps a guest from the host, in order, and ends with 4', async () => {
    const { code, stdout } = await mvm('why', WEB, 'host:22');
    expect(code).toBe(4);
    expect(stdout).toMatch(
      /^acme\/web\/i-00000001 → 10\.240\.3\.1 port 22\/tcp: not reachable\n {2}because the packet was for the host/,
    );
    expect(stdout).toMatch(
      /1\. bridge pre: [\s\S]*inet guest_input: no service of the host is open to guests: counter name c_hostin drop/,
    );
    const json = await mvm('why', WEB, 'host:22/tcp', '-o', 'json');
    expect(json.code).toBe(4);
    expect(JSON.parse(json.stdout)).toMatchObject({
      kind: 'NetworkAnswer',
      reachable: false,
      counter: { name: 'c_hostin' },
      destination: { address: '10.240.3.1', protocol: 'tcp', port: 22 },
    });
    expect(new Set(agentd.calls.map(({ route }) => route))).toEqual(
      new Set(['getInstance', 'getTenant', 'listInstances', 'getHost', 'verifyNetwork', 'getNetworkDrops']),
    );
  });

  it('ends with 0 when it is reachable, and with 4 once something of the host is in the way', async () => {
    expect(await mvm('why', WEB, 'host')).toMatchObject({ code: 0, stderr: '' });
    agentd.overrides.verifyNetwork = () => ({
      ...networkReport('acme', false),
      drifts: [drift],
      drift_count: 1,
    });
    const { code, stdout } = await mvm('why', WEB, 'host');
    expect(code).toBe(4);
    expect(stdout).toContain('In the way\n  the kernel is not as recorded: element gw br-tenant-3');
  });

  it('knows instances as destinations, their states, and another tenant’s', async () => {
    const stopped = await mvm('why', WEB, 'acme/web/i-00000002:80');
    expect(stopped.code).toBe(4);
    expect(stopped.stdout).toContain('acme/web/i-00000002 is stopped: it has no port on the bridge');
    expect(stopped.stdout).toContain('mvm instance start acme/web/i-00000002');
    agentd.instances = agentd.instances.map((each) =>
      each.tenant_id === 'globex' && each.net
        ? { ...each, net: { ...each.net, guest_ip: '10.240.4.3' } }
        : each,
    );
    const other = await mvm('why', WEB, 'globex/api/i-00000001');
    expect(other.code).toBe(4);
    expect(other.stdout).toContain("globex/api/i-00000001 is another tenant's");
  });

  it('says how a port becomes reachable from outside', async () => {
    const { code, stdout } = await mvm('why', WEB, '443/tcp', '--inbound');
    expect(code).toBe(4);
    expect(stdout).toContain('add { protocol: tcp, host_port: <a free port of the host>, guest_port: 443');
  });

  it.each([
    ['example.com:443', 2, 'getent ahostsv4 example.com'],
    ['1.1.1.1:443/icmp', 2, 'tcp and udp'],
    ['acme/web/i-99', 2, 'mvm instance list'],
  ])('refuses %s, and says what to name', async (destination, exitCode, hint) => {
    const { code, stderr } = await mvm('why', WEB, destination);
    expect(code).toBe(exitCode);
    expect(stderr).toContain(hint);
  });

  it('an instance that there is not ends with 3', async () => {
    expect((await mvm('why', 'acme/web/i-99', '1.1.1.1')).code).toBe(3);
  });
});

it('mvm status shows drift', async () => {
  const { network } = status();
  if (network === null) throw new Error('the model verifies');
  const since = new Date(Date.now() - 125_000).toISOString();
  agentd.statuses = [
    status({ network: { ...network, drift_count: 1, drifts: [{ ...drift, since }], persistent: 1 } }),
  ];
  const { stdout } = await runMvm(['status'], { socket: agentd.socketPath });
  expect(stdout).toMatch(/Network: +1 differences, the oldest for 2m\d+s, verified \d+s ago: mvm net verify/);
  agentd.statuses = [status()];
  expect((await runMvm(['status'], { socket: agentd.socketPath })).stdout).toMatch(
    /Network: +as recorded, verified/,
  );
});
