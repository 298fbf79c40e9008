import { BASE_TABLES, type BaseChain, type BaseRule, type BaseTable, TABLE_NAME } from './base-tables.js';
import { MAP_TYPES, SET_NAMES, setShape } from './sets.js';

// FNV-1a, 32 bits: tells one text of the rules from another; it is no protection against somebody with root.
function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, '0');
}

/** The comment that a rule bears in the kernel: its reason and a fingerprint of its text and place. */
export function ruleComment(table: BaseTable, chain: string, index: number, base: BaseRule): string {
  return `${base.why} #${fingerprint(`${table.family} ${chain} ${index} ${base.text}`)}`;
}

/** Names of the sets and maps that must be in a table: ours to fill, and those that packets fill. */
export function setNamesOf(table: BaseTable): string[] {
  const filled = SET_NAMES.filter((name) => setShape(name).family === table.family);
  return [...filled, ...Object.keys(table.dynamicSets)];
}

function renderSets(table: BaseTable): string[] {
  const filled = SET_NAMES.filter((name) => setShape(name).family === table.family).map((name) => {
    const shape = setShape(name);
    const key = shape.key.map((field) => (field === 'ipv4_cidr' ? 'ipv4_addr' : field)).join(' . ');
    const type = shape.map === undefined ? key : `${key} : ${MAP_TYPES[shape.map]}`;
    const flags = shape.interval ? ' flags interval;' : '';
    return `${shape.map ? 'map' : 'set'} ${name} { type ${type};${flags} }`;
  });
  const dynamic = Object.entries(table.dynamicSets).map(([name, text]) => `set ${name} { ${text} }`);
  return [...filled, ...dynamic];
}

function renderChain(table: BaseTable, chain: BaseChain): string[] {
  const head = chain.hook
    ? [`type ${chain.hook.type} hook ${chain.hook.hook} priority ${chain.hook.priority}; policy accept;`]
    : [];
  const rules = chain.rules.map(
    (base, i) => `${base.text} comment "${ruleComment(table, chain.name, i, base)}"`,
  );
  return [`chain ${chain.name} {`, ...[...head, ...rules].map((line) => `  ${line}`), '}'];
}

/**
 * The text that replaces both tables, elements aside, in one transaction. Constant: nothing from outside is in it.
 * Chains are declared before they are jumped to, as `nft` resolves them within the transaction.
 */
export function renderBaseTables(): string {
  const lines = BASE_TABLES.flatMap((table) => {
    const name = `${table.family} ${TABLE_NAME}`;
    const body = [
      ...table.counters.map((counter) => `counter ${counter} { }`),
      ...renderSets(table),
      ...table.chains.flatMap((chain) => renderChain(table, chain)),
    ];
    return [
      `table ${name}`,
      `delete table ${name}`,
      `table ${name} {`,
      ...body.map((line) => `  ${line}`),
      '}',
    ];
  });
  return `${lines.join('\n')}\n`;
}
