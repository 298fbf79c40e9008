import type { BaseRule, BaseTable } from './base-tables/base-table.js';

// FNV-1a, 32 bits: tells one text of the rules from another; it is no protection against root.
function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, '0');
}

/** The comment that a rule bears in the kernel: its reason and a fingerprint of its text and place. */
export function ruleComment(
  table: Pick<BaseTable, 'family'>,
  chain: string,
  index: number,
  base: BaseRule,
): string {
  return `${base.why} #${fingerprint(`${table.family} ${chain} ${index} ${base.text}`)}`;
}
