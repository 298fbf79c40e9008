import type { BaseChain, BaseTable } from './base-tables/base-table.js';
import { BASE_TABLES, TABLE_NAME } from './base-tables/base-tables.js';
import { ruleComment } from './rule-comment.js';
import { MAP_TYPES, nftType, SET_NAMES, setShape } from './sets.js';

/** Names of the sets and maps that must be in a table: ours to fill, and those that packets fill. */
export function setNamesOf(table: BaseTable): string[] {
  const filled = SET_NAMES.filter((name) => setShape(name).family === table.family);
  return [...filled, ...Object.keys(table.dynamicSets)];
}

function renderSets(table: BaseTable): string[] {
  const filled = SET_NAMES.filter((name) => setShape(name).family === table.family).map((name) => {
    const shape = setShape(name);
    const key = shape.key.map(nftType).join(' . ');
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
      ...Object.entries(table.timeouts).map(([timeout, text]) => `ct timeout ${timeout} { ${text} }`),
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
