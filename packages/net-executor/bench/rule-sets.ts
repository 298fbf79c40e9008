import {
  type DesiredHostNetwork,
  expandDesired,
  type NetworkContext,
  renderNftScript,
} from '../src/index.js';
import { observeNetwork } from '../src/observe/index.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from '../test/support/desired.js';
import { nft, sh } from '../test/support/host.js';
import { median } from './statistics.js';

// The rules under which a packet's cost is measured, and the figures that come of it.

export interface PacketFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: { readonly max: number };
}

const PLAIN = `
table ip plain {
  chain post {
    type nat hook postrouting priority 100; policy accept;
    oifname "up0" masquerade
  }
}
`;
const LOCAL = ['pref', '90', 'iif', 'lo', 'from', CLUSTER_CIDR, 'to', CLUSTER_CIDR, 'lookup', 'main'];
const ISOLATE = ['pref', '91', 'from', CLUSTER_CIDR, 'to', CLUSTER_CIDR, 'blackhole'];
const CONTEXT: NetworkContext = { clusterCidr: CLUSTER_CIDR, uplinks: ['up0'], base: 'present' };

/** Tenants 1…count, each with one port. */
export function desired(count: number): DesiredHostNetwork {
  const tenants = Array.from({ length: count }, (_, i) => ({
    net: tenantNet(i + 1),
    ports: [instancePort(tenantNet(i + 1), 3)],
  }));
  return { tenants };
}

async function tablesScript(count: number): Promise<string> {
  const observed = await observeNetwork({ uplinks: ['up0'] });
  const { elements } = expandDesired(desired(count), observed, CONTEXT);
  return renderNftScript([{ kind: 'tables.load', was: 'damaged', elements, profiles: [] }]);
}

/**
 * Measures in turns with no rules but a plain masquerade, with one tenant, and with `tenants`; µs each, and the ratios.
 * Only the tables grow: more bridges do not lie on a packet's way. The executor has reconciled, so our rules stand.
 */
export async function compareRuleSets(
  what: string,
  { tenants, rounds, maxRatio }: { tenants: number; rounds: number; maxRatio?: number },
  measure: () => number,
): Promise<PacketFigure[]> {
  const measured = { plain: [] as number[], one: [] as number[], many: [] as number[] };
  const scripts = { one: await tablesScript(1), many: await tablesScript(tenants) };
  nft(scripts.one);
  measure();
  for (let round = 0; round < rounds; round += 1) {
    for (const pref of ['90', '91']) sh('ip', 'rule', 'delete', 'pref', pref);
    nft(`flush ruleset\n${PLAIN}`);
    measured.plain.push(measure());
    for (const rule of [LOCAL, ISOLATE]) sh('ip', 'rule', 'add', ...rule);
    nft(`delete table ip plain\n${scripts.one}`);
    measured.one.push(measure());
    nft(scripts.many);
    measured.many.push(measure());
  }
  const ratio = (to: readonly number[]) => median(measured.many) / median(to);
  return [
    { name: `${what}, plain masquerade only`, value: median(measured.plain), unit: 'µs' },
    { name: `${what}, 1 tenant`, value: median(measured.one), unit: 'µs' },
    { name: `${what}, ${tenants} tenants`, value: median(measured.many), unit: 'µs' },
    {
      name: `${what}: ${tenants} tenants / plain`,
      value: ratio(measured.plain),
      unit: '×',
      ...(maxRatio === undefined ? {} : { target: { max: maxRatio } }),
    },
    { name: `${what}: ${tenants} tenants / 1 tenant`, value: ratio(measured.one), unit: '×' },
  ];
}
