/** A rule and why it is there; the reason, with a fingerprint, becomes the rule's comment in the kernel. */
export interface BaseRule {
  readonly text: string;
  readonly why: string;
  /** The part of a network policy that it follows from; absent for what holds under every policy. */
  readonly follows?: PolicyPart | undefined;
}

/** A part of a guest's policy, e.g. `egress`, `deny[0]`, `limits.connections`. */
export interface PolicyPart {
  readonly field: string;
  /** Whose policy: that of the guest that sends the packet, or of the one that gets it. */
  readonly of: 'sender' | 'receiver';
}

/** A chain of ours, and its rules in order. */
export interface BaseChain {
  readonly name: string;
  /** Absent for a chain that is only jumped to. */
  readonly hook?: { readonly type: 'filter' | 'nat'; readonly hook: string; readonly priority: number };
  readonly rules: readonly BaseRule[];
}

/** A table of ours without its elements. Base chains let pass what is not ours, so other software is untouched. */
export interface BaseTable {
  readonly family: 'bridge' | 'inet';
  /** Names of counters: one per reason to drop a packet. */
  readonly counters: readonly string[];
  /** Name → definition of the sets that packets fill. */
  readonly dynamicSets: Readonly<Record<string, string>>;
  /** Name → definition of how long tracked connections are remembered. */
  readonly timeouts: Readonly<Record<string, string>>;
  readonly chains: readonly BaseChain[];
}

/** A rule that follows from `field` of the policy of the packet's `of`, or (without a field) that always holds. */
export function rule(text: string, why: string, field?: string, of: PolicyPart['of'] = 'sender'): BaseRule {
  return field === undefined ? { text, why } : { text, why, follows: { field, of } };
}
