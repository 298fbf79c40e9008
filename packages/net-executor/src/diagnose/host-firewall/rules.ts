import type { Ipv4Cidr } from '@mvm/protocol/names';

/** What a rule of other software asks of a packet. `unknown`: something that is not modelled here, e.g. an extension. */
export type Condition =
  | { readonly kind: 'iif' | 'oif'; readonly names: readonly string[]; readonly negated: boolean }
  | { readonly kind: 'src' | 'dst'; readonly ranges: readonly Ipv4Cidr[]; readonly negated: boolean }
  | { readonly kind: 'state' | 'protocol'; readonly values: readonly string[]; readonly negated: boolean }
  | { readonly kind: 'unknown' };

export type RuleVerdict =
  | { readonly kind: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string }
  /** Counts, marks, logs: the next rule decides. */
  | { readonly kind: 'none' };

export interface ForeignRule {
  readonly conditions: readonly Condition[];
  readonly verdict: RuleVerdict;
}

export interface ForeignChain {
  readonly name: string;
  /** Where it is hooked; null for one that is only jumped to. */
  readonly hook: string | null;
  /** What becomes of a packet that its rules do not decide; null for one that is only jumped to. */
  readonly policy: 'accept' | 'drop' | null;
  readonly rules: readonly ForeignRule[];
}

/** A table of other software. */
export interface ForeignTable {
  /** By which it is read and changed. */
  readonly tool: 'nft' | 'iptables' | 'iptables-legacy';
  readonly family: string;
  readonly name: string;
  readonly chains: readonly ForeignChain[];
}

/** A packet as far as rules are asked about it. */
export interface ForeignPacket {
  readonly iif: string;
  readonly oif: string;
  /** Unsigned 32-bit numbers. */
  readonly src: number;
  readonly dst: number;
  readonly state: 'new' | 'established';
  readonly protocol: 'tcp';
}

/** What a base chain says to a packet, and whether a rule or the policy says so. */
export interface ForeignVerdict {
  readonly verdict: 'accept' | 'drop';
  readonly by: 'rule' | 'policy';
  /** The chain whose rule or policy decided. */
  readonly chain: string;
}
