import { TABLE_NAME } from './base-tables/base-tables.js';
import {
  addressAndPort,
  chainName,
  cidrText,
  interfaceName,
  ipv4Text,
  macText,
  portText,
  protocolText,
  setName,
  uidRangeText,
} from './grammar.js';
import { makeProfile, type ProfileSpec } from './profile.js';
import { renderBaseTables } from './render-tables.js';
import { ruleComment } from './rule-comment.js';
import { type FieldType, type NetElement, SET_NAMES, setShape } from './sets.js';
import type { NetStep } from './types.js';

/** Elements per line of a script; only to keep lines readable. */
const ELEMENTS_PER_LINE = 200;

const RENDER_FIELD: { readonly [T in FieldType]: (text: string) => string } = {
  ifname: (text) => `"${interfaceName(text)}"`,
  ether_addr: macText,
  ipv4_addr: ipv4Text,
  ipv4_cidr: cidrText,
  inet_proto: protocolText,
  inet_service: portText,
  uid_range: uidRangeText,
};

function renderElement(element: NetElement): string {
  const shape = setShape(element.set);
  if (element.key.length !== shape.key.length) {
    throw new Error(
      `an element of ${element.set} has ${element.key.length} fields instead of ${shape.key.length}`,
    );
  }
  const key = shape.key.map((type, i) => RENDER_FIELD[type](element.key[i] ?? '')).join(' . ');
  if (shape.map === undefined) return key;
  const value = element.value ?? '';
  return `${key} : ${shape.map === 'address' ? addressAndPort(value) : `${shape.map} ${chainName(value)}`}`;
}

function renderCommand(verb: 'add' | 'delete', elements: readonly NetElement[]): string[] {
  return SET_NAMES.flatMap((set) => {
    const texts = elements.filter((element) => element.set === set).map(renderElement);
    const lines: string[] = [];
    for (let i = 0; i < texts.length; i += ELEMENTS_PER_LINE) {
      const part = texts.slice(i, i + ELEMENTS_PER_LINE).join(', ');
      lines.push(`${verb} element ${setShape(set).family} ${TABLE_NAME} ${set} { ${part} }`);
    }
    return lines;
  });
}

/** Sets and chains first, then rules: whatever order the profiles come in, nothing is named before it is there. */
function renderProfiles(specs: readonly ProfileSpec[]): string[] {
  const profiles = specs.map(makeProfile);
  const chains = profiles.flatMap((profile) => profile.chains);
  return [
    ...profiles.flatMap(({ sets }) =>
      Object.entries(sets).map(([name, text]) => `add set inet ${TABLE_NAME} ${setName(name)} { ${text} }`),
    ),
    ...chains.flatMap(({ name }) => [
      `add chain inet ${TABLE_NAME} ${chainName(name)}`,
      `flush chain inet ${TABLE_NAME} ${chainName(name)}`,
    ]),
    ...chains.flatMap(({ name, rules }) =>
      rules.map((rule, i) => {
        const comment = ruleComment({ family: 'inet' }, name, i, rule);
        return `add rule inet ${TABLE_NAME} ${name} ${rule.text} comment "${comment}"`;
      }),
    ),
  ];
}

type ProfileDeletion = Extract<NetStep, { kind: 'profile.delete' }>;

/** Emptied all before the first is deleted, because they name each other. */
function renderProfileDeletions(steps: readonly ProfileDeletion[]): string[] {
  const chains = steps.flatMap((step) => step.chains.map(chainName));
  const sets = steps.flatMap((step) => step.sets.map(setName));
  return [
    ...chains.map((name) => `flush chain inet ${TABLE_NAME} ${name}`),
    ...chains.map((name) => `delete chain inet ${TABLE_NAME} ${name}`),
    ...sets.map((name) => `delete set inet ${TABLE_NAME} ${name}`),
  ];
}

/**
 * The one script for `nft -f` that makes all nftables steps among `steps`, as one transaction; empty when there are none.
 * A deletion is written as an addition and a deletion, so that it also succeeds when it was deleted meanwhile; an addition of
 * what is there already succeeds by itself. Throws `invalid_argument` for a field outside the grammar.
 * Source: nft(8), "ELEMENT" and "ATOMIC" notes.
 */
export function renderNftScript(steps: readonly NetStep[]): string {
  const added: NetElement[] = [];
  const deleted: NetElement[] = [];
  const profiles: ProfileSpec[] = [];
  const deletions: ProfileDeletion[] = [];
  let head = '';
  for (const step of steps) {
    if (step.kind === 'tables.load') {
      head = renderBaseTables();
      added.push(...step.elements);
      profiles.push(...step.profiles);
    } else if (step.kind === 'tables.delete') {
      head = ['bridge', 'inet']
        .map((family) => `table ${family} ${TABLE_NAME}\ndelete table ${family} ${TABLE_NAME}\n`)
        .join('');
    } else if (step.kind === 'profile.create') {
      profiles.push(step.spec);
    } else if (step.kind === 'profile.delete') {
      deletions.push(step);
    } else if (step.kind === 'element.add') {
      added.push(step.element);
    } else if (step.kind === 'element.delete') {
      deleted.push(step.element);
    }
  }
  const lines = [
    ...renderProfiles(profiles),
    ...renderCommand('add', deleted),
    ...renderCommand('delete', deleted),
    ...renderCommand('add', added),
    ...renderProfileDeletions(deletions),
  ];
  return head + lines.map((line) => `${line}\n`).join('');
}
