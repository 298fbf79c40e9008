import type { CodedError } from '@mvm/errors';
import { protocolError } from '../protocol-error.js';
import { MAX_JSON_DEPTH } from './scanner.js';
import type { ObjectShape, Shape } from './shape.js';

function refuse(where: string, expected: string): CodedError {
  return protocolError('unencodable', `cannot encode ${where}: expected ${expected}`);
}

/** A string as serde_json writes it: only `"`, `\` and control characters escaped. Lone surrogates are refused. */
function writeString(text: string, where: string): string {
  const json = JSON.stringify(text);
  // JSON.stringify escapes lone surrogates, and nothing else, as \ud8xx…\udfxx.
  if (json.includes('\\ud') && /\p{Surrogate}/u.test(text)) throw refuse(where, 'well-formed Unicode');
  return json;
}

function writeJson(value: unknown, where: string, depth: number): string {
  if (value === null || value === true || value === false) return String(value);
  if (typeof value === 'string') return writeString(value, where);
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  if (typeof value !== 'object' || depth >= MAX_JSON_DEPTH)
    throw refuse(where, 'a JSON value that is not too deep');
  if (Array.isArray(value)) return writeArray(value, { kind: 'json' }, where, depth);
  return writeRecord(value as Record<string, unknown>, { kind: 'json' }, where, depth);
}

function writeArray(items: readonly unknown[], item: Shape, where: string, depth: number): string {
  return `[${items.map((value) => writeValue(value, item, where, depth + 1)).join(',')}]`;
}

function writeRecord(record: Record<string, unknown>, shape: Shape, where: string, depth: number): string {
  const members = Object.entries(record).map(([name, value]) => {
    return `${writeString(name, where)}:${writeValue(value, shape, name, depth + 1)}`;
  });
  return `{${members.join(',')}}`;
}

/** A struct's fields in the order of its schema, other properties left out, an absent Option as null. */
export function writeFields(
  value: Readonly<Record<string, unknown>>,
  shape: ObjectShape,
  depth: number,
): string {
  let json = '';
  for (const field of shape.fields) {
    let fieldValue = value[field.name];
    if (fieldValue === undefined) {
      if (field.whenAbsent === 'omit') continue;
      if (field.whenAbsent === 'error') throw refuse(field.name, 'a value');
      fieldValue = null;
    }
    json += `${json === '' ? '"' : ',"'}${field.name}":${writeValue(fieldValue, field.shape, field.name, depth + 1)}`;
  }
  return `{${json}}`;
}

/** A value as JSON text without white space; CodedError `protocol.unencodable` when it does not have the shape. */
export function writeValue(value: unknown, shape: Shape, where: string, depth: number): string {
  switch (shape.kind) {
    case 'string':
      if (typeof value === 'string') return writeString(value, where);
      throw refuse(where, 'a string');
    case 'boolean':
      if (typeof value === 'boolean') return String(value);
      throw refuse(where, 'a boolean');
    case 'integer':
      if (Number.isSafeInteger(value) && (value as number) >= shape.min && (value as number) <= shape.max) {
        return String(value);
      }
      throw refuse(where, `an integer in ${shape.min}…${shape.max}`);
    case 'number':
      if (Number.isFinite(value)) return JSON.stringify(value);
      throw refuse(where, 'a finite number');
    case 'nullable':
      return value === null ? 'null' : writeValue(value, shape.inner, where, depth);
    case 'scalar':
      if (typeof value !== 'object' || value === null) return writeJson(value, where, depth);
      throw refuse(where, 'a string, a number, a boolean or null');
    case 'message':
      if (typeof value === 'object' && value !== null && 'type' in value)
        return shape.message.write(value, depth);
      throw refuse(where, 'a message');
    case 'json':
      return writeJson(value, where, depth);
    case 'array':
      if (Array.isArray(value)) return writeArray(value, shape.item, where, depth);
      throw refuse(where, 'an array');
    default: {
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        throw refuse(where, 'an object');
      const record = value as Record<string, unknown>;
      return shape.kind === 'object'
        ? writeFields(record, shape, depth)
        : writeRecord(record, shape.value, where, depth);
    }
  }
}
