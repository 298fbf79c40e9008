import { desiredStateSchema } from '@mvm/protocol/schemas';
import { z } from 'zod';
import { MEANINGS, meaningKey } from './meanings.js';

/** One field of a desired state. */
export interface Field {
  /** `tenants.pools.pool_id`; lists have no index. */
  readonly path: string;
  /** `string`, `integer 1…32`, `list of object`, `one of a, b`. */
  readonly type: string;
  readonly required: boolean;
  /** As JSON; absent when there is none. */
  readonly default?: string;
  readonly meaning: string;
}

type Json = Readonly<Record<string, unknown>>;

/** All fields of a desired state, each before the fields in it, as the schema has them. */
export function desiredStateFields(): Field[] {
  const schema = z.toJSONSchema(desiredStateSchema, { io: 'input', unrepresentable: 'any' }) as Json;
  const fields = new Map<string, Field>();
  walk(schema, '', fields);
  return [...fields.values()];
}

function walk(node: Json, path: string, fields: Map<string, Field>): void {
  for (const each of alternatives(node)) {
    if (each.type === 'array') walk(each.items as Json, path, fields);
    const required = (each.required ?? []) as readonly string[];
    for (const [name, child] of Object.entries((each.properties ?? {}) as Record<string, Json>)) {
      const at = path === '' ? name : `${path}.${name}`;
      if (!fields.has(at)) {
        fields.set(at, {
          path: at,
          type: typeOf(child),
          required: required.includes(name),
          ...(child.default === undefined ? {} : { default: JSON.stringify(child.default) }),
          meaning: MEANINGS[meaningKey(at)] ?? '',
        });
      }
      walk(child, at, fields);
    }
  }
}

function alternatives(node: Json): readonly Json[] {
  const several = (node.anyOf ?? node.oneOf) as readonly Json[] | undefined;
  return several === undefined ? [node] : several.flatMap(alternatives);
}

function typeOf(node: Json): string {
  const types = alternatives(node).map((each) => {
    if (each.const !== undefined) return JSON.stringify(each.const);
    if (Array.isArray(each.enum)) return `one of ${each.enum.join(', ')}`;
    if (each.type === 'array') return `list of ${typeOf(each.items as Json)}`;
    if (each.type !== 'integer' && each.type !== 'number') return String(each.type ?? 'anything');
    const [least, most] = [boundOf(each.minimum), boundOf(each.maximum)];
    if (least === '' && most === '') return String(each.type);
    return `${each.type} ${least === '' ? '' : least}…${most}`;
  });
  return [...new Set(types)].join(' or ');
}

/** Empty for the bounds that every safe integer has. */
function boundOf(value: unknown): string {
  return typeof value !== 'number' || Math.abs(value) === Number.MAX_SAFE_INTEGER ? '' : String(value);
}
