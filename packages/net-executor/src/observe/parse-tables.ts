import type { BaseTable } from '../base-tables/base-table.js';
import { BASE_TABLES } from '../base-tables/base-tables.js';
import { type ObservedProfile, profileIdOf } from '../profile.js';
import { setNamesOf } from '../render-tables.js';
import { ruleComment } from '../rule-comment.js';
import { MAP_TYPES, type NetElement, nftType, SET_NAMES, type SetName, setShape } from '../sets.js';
import type { TablesState } from '../types.js';
import { asArray, asRecord, asText, type JsonRecord } from './json.js';
import { parseElement } from './parse-elements.js';

/** Both our tables as `nft -j list table` prints them; null for a table that does not exist. */
export type TableListings = Readonly<Record<BaseTable['family'], string | null>>;

interface ObservedTables {
  readonly tables: TablesState;
  readonly tableFaults: string[];
  readonly elements: NetElement[];
  readonly profiles: ObservedProfile[];
}

function objectsOf(listing: string): JsonRecord[] {
  return asArray(asRecord(JSON.parse(listing)).nftables).map(asRecord);
}

/** Names that are missing, and names that are not ours. */
function compareNames(what: string, expected: readonly string[], found: readonly string[]): string[] {
  const missing = expected
    .filter((name) => !found.includes(name))
    .map((name) => `${what} ${name} is missing`);
  const added = found
    .filter((name) => !expected.includes(name) && profileIdOf(name) === null)
    .map((name) => `${what} ${name} is not ours`);
  return [...missing, ...added];
}

function namesOf(objects: readonly JsonRecord[], kinds: readonly string[]): string[] {
  return objects.flatMap((object) =>
    kinds.filter((kind) => object[kind] !== undefined).map((kind) => asText(asRecord(object[kind]).name)),
  );
}

function setFaults(objects: readonly JsonRecord[], table: BaseTable): string[] {
  const sets = objects.map(({ set, map }) => asRecord(set ?? map)).filter(({ name }) => name !== undefined);
  return SET_NAMES.filter((name) => setShape(name).family === table.family).flatMap((name) => {
    const found = sets.find((set) => set.name === name);
    if (found === undefined) return [];
    const shape = setShape(name);
    const expected = shape.key.map(nftType).join(' . ');
    const type = Array.isArray(found.type) ? found.type.join(' . ') : asText(found.type);
    return type === expected && found.map === (shape.map && MAP_TYPES[shape.map])
      ? []
      : [`set ${name} has another type`];
  });
}

function chainFaults(objects: readonly JsonRecord[], table: BaseTable): string[] {
  const chains = objects.map(({ chain }) => asRecord(chain)).filter(({ name }) => name !== undefined);
  const rules = objects.map(({ rule }) => asRecord(rule)).filter(({ chain }) => chain !== undefined);
  return table.chains.flatMap((chain) => {
    const found = chains.find(({ name }) => name === chain.name);
    if (found === undefined) return [];
    const hooked = chain.hook
      ? found.type === chain.hook.type &&
        found.hook === chain.hook.hook &&
        found.prio === chain.hook.priority &&
        found.policy === 'accept'
      : found.hook === undefined;
    const comments = rules.filter((rule) => rule.chain === chain.name).map((rule) => asText(rule.comment));
    const expected = chain.rules.map((base, i) => ruleComment(table, chain.name, i, base));
    const same =
      expected.length === comments.length && expected.every((comment, i) => comment === comments[i]);
    return [
      ...(hooked ? [] : [`chain ${table.family} ${chain.name} is hooked elsewhere`]),
      ...(same ? [] : [`chain ${table.family} ${chain.name} has other rules`]),
    ];
  });
}

function parseElements(objects: readonly JsonRecord[], faults: string[]): NetElement[] {
  return objects.flatMap(({ set, map }) => {
    const found = asRecord(set ?? map);
    const name = asText(found.name);
    if (!(SET_NAMES as readonly string[]).includes(name)) return [];
    return asArray(found.elem).flatMap((value) => {
      try {
        return [parseElement(name as SetName, value)];
      } catch {
        faults.push(`set ${name} has an element that mvm never makes`);
        return [];
      }
    });
  });
}

function tableFaults(objects: readonly JsonRecord[], table: BaseTable): string[] {
  return [
    ...compareNames('counter', table.counters, namesOf(objects, ['counter'])),
    ...compareNames('timeout', Object.keys(table.timeouts), namesOf(objects, ['ct timeout'])),
    ...compareNames('set', setNamesOf(table), namesOf(objects, ['set', 'map'])),
    ...compareNames(
      'chain',
      table.chains.map(({ name }) => name),
      namesOf(objects, ['chain']),
    ),
    ...setFaults(objects, table),
    ...chainFaults(objects, table),
  ];
}

/** The profiles among these objects, whatever they look like; whether they are as wanted shows by comparison. */
function parseProfiles(objects: readonly JsonRecord[]): ObservedProfile[] {
  const found = new Map<string, { chains: Record<string, string[]>; sets: string[] }>();
  const profileOf = (name: string) => {
    const id = profileIdOf(name);
    if (id === null) return undefined;
    const profile = found.get(id) ?? { chains: {}, sets: [] };
    found.set(id, profile);
    return profile;
  };
  for (const object of objects) {
    const chain = asRecord(object.chain);
    const set = asText(asRecord(object.set).name);
    const name = asText(chain.name);
    const profile = profileOf(name);
    // One that is hooked is none of ours.
    if (profile !== undefined) profile.chains[name] = chain.hook === undefined ? [] : ['hooked'];
    profileOf(set)?.sets.push(set);
  }
  for (const object of objects) {
    const rule = asRecord(object.rule);
    const name = asText(rule.chain);
    profileOf(name)?.chains[name]?.push(asText(rule.comment));
  }
  return [...found].map(([id, profile]) => ({ id, ...profile, spec: null }));
}

/**
 * State, faults and elements of our tables. Rules are compared by the comments that they bear, which name their text and
 * place; so the answer does not depend on how this version of nft writes a rule. Source: libnftables-json(5).
 */
export function parseTables(listings: TableListings): ObservedTables {
  const present = BASE_TABLES.filter((table) => listings[table.family] !== null);
  if (present.length === 0) return { tables: 'absent', tableFaults: [], elements: [], profiles: [] };
  const faults: string[] = [];
  const elements: NetElement[] = [];
  const profiles: ObservedProfile[] = [];
  for (const table of BASE_TABLES) {
    const listing = listings[table.family];
    if (listing === null) {
      faults.push(`table ${table.family} mvm is missing`);
      continue;
    }
    const objects = objectsOf(listing);
    faults.push(...tableFaults(objects, table));
    elements.push(...parseElements(objects, faults));
    if (table.family === 'inet') profiles.push(...parseProfiles(objects));
  }
  return { tables: faults.length === 0 ? 'intact' : 'damaged', tableFaults: faults, elements, profiles };
}
