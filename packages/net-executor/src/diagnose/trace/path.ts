import type { PolicyPart } from '../../base-tables/base-table.js';
import { BASE_TABLES } from '../../base-tables/base-tables.js';
import { elementsOf, hostElements, tenantProfiles } from '../../expand-desired.js';
import type { NetElement } from '../../sets.js';
import type { TenantGuests } from '../../types.js';
import { type ChainVerdict, type MetRule, type PacketFields, type Rules, walkChain } from './walk-chain.js';

/** What a packet wants to reach. Port 1…65535, with tcp and udp only. */
export interface Destination {
  /** IPv4, or IPv6. */
  readonly address: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly port?: number | undefined;
}

/** Where the host would send a packet that a guest gave it: to itself, out by an interface, or nowhere. */
export type Route =
  | { readonly kind: 'local' }
  | { readonly kind: 'link'; readonly link: string }
  | { readonly kind: 'none' };

/** The tenants whose guests are concerned, and the host's own ranges. */
export interface NetworkSite {
  readonly tenants: readonly TenantGuests[];
  readonly clusterCidr: string;
  readonly uplinks: readonly string[];
}

/** One thing that happens to a packet, in order. */
export interface PathStep {
  /** `bridge mvm` or `inet mvm` for a rule of ours; `bridge`, `routing` for what the kernel does by itself. */
  readonly at: 'bridge mvm' | 'inet mvm' | 'bridge' | 'routing';
  /** The rule's chain. */
  readonly chain: string | null;
  /** The rule's text. */
  readonly rule: string | null;
  /** In words. */
  readonly why: string;
  /** What of whose policy it follows from; null: holds under every policy. */
  readonly follows: PolicyPart | null;
}

/** Whether a packet gets there, and its answer back, and by what. */
export interface PathAnswer {
  readonly passes: boolean;
  /** In the order in which the packet meets them; the last decides. */
  readonly steps: readonly PathStep[];
  /** Limits that it is under; it is taken to be within. */
  readonly limits: readonly PathStep[];
  /** The drop counter that such a packet counts on; null: it passes, or dies uncounted. */
  readonly counter: { readonly table: 'bridge mvm' | 'inet mvm'; readonly name: string } | null;
  /** What of whose policy decides; null: no policy does. */
  readonly follows: PolicyPart | null;
}

/** The rules and elements that follow from what is recorded, as `reconcile` loads them. */
export function rulesOf({ tenants, ...host }: NetworkSite): Rules {
  const chains = [...BASE_TABLES, ...tenants.flatMap(tenantProfiles)].flatMap((each) => each.chains);
  const elements = new Map<string, NetElement[]>();
  for (const element of [...hostElements(host), ...tenants.flatMap(elementsOf)]) {
    elements.set(element.set, [...(elements.get(element.set) ?? []), element]);
  }
  return { chains: new Map(chains.map((chain) => [chain.name, chain])), elements };
}

/** A packet on its way: what it met is kept, and the answer made at its end. */
export interface Trip {
  /** Passes it through a base chain; false when that drops it. */
  meets(at: 'bridge mvm' | 'inet mvm', chain: string, packet: PacketFields): ChainVerdict;
  /** Something that the kernel does by itself. */
  note(at: 'bridge' | 'routing', why: string): void;
  end(passes: boolean): PathAnswer;
}

/** A packet that sets out, under these rules. */
export function setOut(rules: Rules): Trip {
  const steps: PathStep[] = [];
  const limits: PathStep[] = [];
  let last: ChainVerdict | null = null;
  let counter: PathAnswer['counter'] = null;
  return {
    meets(at, name, packet) {
      const verdict = walkChain(rules, name, packet);
      const toStep = ({ chain, rule }: MetRule): PathStep => ({
        at,
        chain,
        rule: rule.text,
        why: rule.why,
        follows: rule.follows ?? null,
      });
      steps.push(...verdict.met.map(toStep));
      limits.push(...verdict.limits.map(toStep));
      if (verdict.counter !== null) counter = { table: at, name: verdict.counter };
      last = verdict;
      return verdict;
    },
    note(at, why) {
      steps.push({ at, chain: null, rule: null, why, follows: null });
      last = null;
    },
    end: (passes) => ({
      passes,
      steps,
      limits,
      counter,
      follows: passes
        ? (steps.findLast(({ follows }) => follows !== null)?.follows ?? null)
        : (last?.follows ?? null),
    }),
  };
}
