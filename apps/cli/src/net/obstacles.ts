import { formatAddress } from '../address/address.js';
import { describeBlock } from '../doctor/network-checks.js';
import { isUp, type WhyFacts } from './why-facts.js';

/** Something of the real host that stands in a packet's way, whatever the rules say. */
export interface Obstacle {
  readonly kind:
    | 'instance'
    | 'target'
    | 'network_down'
    | 'drift'
    | 'forwarding'
    | 'way_back'
    | 'other_software';
  /** In words; continues "but …". */
  readonly detail: string;
  /** What to do about it. */
  readonly next: readonly string[];
}

/** How a packet goes: over the tenant's bridge, routed out of it or into it, or to the host itself. */
export type Way = 'bridged' | 'routed' | 'host';

/** Differences that are listed one by one. */
const MAX_DRIFTS = 5;

function notUp(
  kind: 'instance' | 'target',
  { status, ...ids }: WhyFacts['instance'] | NonNullable<WhyFacts['target']>,
): Obstacle {
  const address = formatAddress(ids);
  const next = status === 'sleeping' ? `mvm instance wake ${address}` : `mvm instance start ${address}`;
  return { kind, detail: `${address} is ${status}: it has no port on the bridge`, next: [next] };
}

function ofGuests({ instance, target }: WhyFacts, way: Way): Obstacle[] {
  const warm: Obstacle = {
    kind: 'instance',
    detail: `${formatAddress(instance)} is warm: its vCPUs are paused, and it neither sends nor answers`,
    next: [`mvm instance resume ${formatAddress(instance)}`],
  };
  const own = !isUp(instance) ? [notUp('instance', instance)] : instance.status === 'warm' ? [warm] : [];
  if (target === null || way !== 'bridged' || formatAddress(target) === formatAddress(instance)) return own;
  if (!isUp(target)) return [...own, notUp('target', target)];
  if (target.status !== 'warm') return own;
  const address = formatAddress(target);
  return [
    ...own,
    {
      ...warm,
      kind: 'target',
      detail: `${address} is warm, and does not answer`,
      next: [`mvm instance resume ${address}`],
    },
  ];
}

function ofKernel({ report, tenant }: WhyFacts): Obstacle[] {
  if (!tenant.network_up) {
    const detail = `the network of ${tenant.tenant_id} is not set up on this host`;
    return [
      {
        kind: 'network_down',
        detail,
        next: ['put the tenant into the desired state, and apply: mvm apply -f …'],
      },
    ];
  }
  // What is there and not desired blocks nothing.
  const wanting = report.drifts.filter(({ state }) => state !== 'unwanted');
  if (wanting.length === 0) return [];
  const shown = wanting
    .slice(0, MAX_DRIFTS)
    .map(({ object, name, state, detail }) => `${object} ${name} is ${state} (${detail})`);
  const more = wanting.length - shown.length;
  const detail = `the kernel is not as recorded: ${[...shown, ...(more > 0 ? [`${more} more`] : [])].join('; ')}`;
  const next = `mvm net verify ${tenant.tenant_id} names the differences, mvm net plan ${tenant.tenant_id} what repairs them; hostd does within 10 seconds, or journalctl -u mvm-hostd says why not`;
  return [{ kind: 'drift', detail, next: [next] }];
}

function ofOthers({ foreign, checks, wayBack }: WhyFacts, way: Way): Obstacle[] {
  const stopped = (foreign.blocks ?? []).filter(({ effects }) =>
    way === 'bridged'
      ? effects.includes('same_tenant')
      : way === 'routed' && effects.some((effect) => effect !== 'same_tenant'),
  );
  const blocks = stopped.map(
    (block): Obstacle => ({ kind: 'other_software', detail: describeBlock(block), next: block.fix }),
  );
  if (way !== 'routed') return blocks;
  const forwarding = checks
    .filter(({ verdict }) => verdict === 'fail')
    .map(
      ({ detail, fix }): Obstacle => ({ kind: 'forwarding', detail, next: fix === undefined ? [] : [fix] }),
    );
  const back: Obstacle[] =
    wayBack === null
      ? []
      : [
          {
            kind: 'way_back',
            detail: wayBack,
            next: [
              'look at the policy routing of this host, a VPN’s perhaps: ip rule; ip route show table all',
            ],
          },
        ];
  return [...blocks, ...forwarding, ...back];
}

/** Everything that stands in the way, what is nearest to the guest first. Pure. */
export function findObstacles(facts: WhyFacts, way: Way): Obstacle[] {
  return [...ofGuests(facts, way), ...ofKernel(facts), ...ofOthers(facts, way)];
}
