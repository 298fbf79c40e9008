import { quoteForMessage } from '@mvm/errors';
import { type JsonScanner, MAX_JSON_DEPTH } from './scanner.js';
import type { ObjectShape, Shape } from './shape.js';

const MAX_U64 = 18_446_744_073_709_551_615n;

/** Any JSON value. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** A value that a reader made; own, plain, enumerable properties only. */
type Plain = Record<string, unknown>;

/** Sets a property as data even when its name is `__proto__`. */
function setOwn(target: Plain, name: string, value: unknown): void {
  if (name === '__proto__') {
    Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
  } else target[name] = value;
}

function readInteger(
  scanner: JsonScanner,
  shape: Extract<Shape, { kind: 'integer' }>,
  where: string,
): number {
  const token = scanner.number();
  if (!token.integer) throw scanner.error('invalid_message', `${where}: expected an integer`);
  if (shape.min >= 0 && token.text.startsWith('-')) {
    throw scanner.error('invalid_message', `${where}: expected an integer that is not negative`);
  }
  let value = Number(token.text);
  if (shape.clamp && value > Number.MAX_SAFE_INTEGER) {
    // 20 digits hold every u64; anything longer is refused before it costs the time to convert it.
    if (token.text.length > 20 || BigInt(token.text) > MAX_U64) {
      throw scanner.error('invalid_message', `${where}: expected an integer of at most 64 bits`);
    }
    value = Number.MAX_SAFE_INTEGER;
  }
  if (value < shape.min || value > shape.max) {
    throw scanner.error('invalid_message', `${where}: expected an integer in ${shape.min}…${shape.max}`);
  }
  return value;
}

function readNumber(scanner: JsonScanner, where: string): number {
  const value = Number(scanner.number().text);
  if (!Number.isFinite(value)) throw scanner.error('invalid_message', `${where}: number out of range`);
  return value;
}

function readJson(scanner: JsonScanner, where: string, depth: number): unknown {
  const kind = scanner.peekKind();
  if (kind === 'string') return scanner.string();
  if (kind === 'number') return readNumber(scanner, where);
  if (kind === 'object' || kind === 'array') {
    if (depth >= MAX_JSON_DEPTH) throw scanner.error('too_deep', `${where}: nested too deeply`);
    return kind === 'array'
      ? readArray(scanner, { kind: 'json' }, where, depth)
      : readRecord(scanner, { kind: 'json' }, where, depth);
  }
  scanner.literal(kind);
  return kind === 'null' ? null : kind === 'true';
}

function readArray(scanner: JsonScanner, item: Shape, where: string, depth: number): unknown[] {
  const items: unknown[] = [];
  scanner.beginArray();
  while (scanner.nextItem(items.length === 0)) items.push(readValue(scanner, item, where, depth + 1));
  return items;
}

function readRecord(scanner: JsonScanner, shape: Shape, where: string, depth: number): Plain {
  const record: Plain = {};
  scanner.beginObject();
  let key = scanner.nextKey(true);
  while (key !== null) {
    if (Object.hasOwn(record, key)) throw scanner.error('duplicate_field', `${where}: a name is given twice`);
    setOwn(record, key, readValue(scanner, shape, where, depth + 1));
    key = scanner.nextKey(false);
  }
  return record;
}

/**
 * Reads a struct's fields into `target`: any order, unknown fields skipped (refused when the shape is strict), a known
 * field given twice or a missing one refused, an absent Option left absent.
 */
export function readFields(
  scanner: JsonScanner,
  shape: ObjectShape,
  target: Plain,
  where: string,
  depth: number,
): void {
  scanner.beginObject();
  const { fields } = shape;
  let seen = 0;
  let expected = 0;
  let key = scanner.nextKey(true);
  while (key !== null) {
    // Fields nearly always arrive in order, so the next one in line is tried first.
    const next = fields[expected];
    const field = next !== undefined && next.name === key ? next : shape.byName.get(key);
    if (field === undefined) {
      if (shape.strict) {
        throw scanner.error('invalid_message', `${where}: unknown field ${quoteForMessage(key)}`);
      }
      if (shape.unsupported.has(key)) refuseUnlessEmpty(scanner, key, where);
      else scanner.skipValue();
    } else {
      if (Object.hasOwn(target, field.name)) {
        throw scanner.error('duplicate_field', `${where}: field ${field.name} is given twice`);
      }
      target[field.name] = readValue(scanner, field.shape, field.name, depth + 1);
      expected = field.index + 1;
      seen += 1;
    }
    key = scanner.nextKey(false);
  }
  if (seen === fields.length) return;
  for (const field of fields) {
    if (field.whenAbsent === 'error' && !Object.hasOwn(target, field.name)) {
      throw scanner.error('invalid_message', `${where}: field ${field.name} is missing`);
    }
  }
}

/** Skips a field of another peer that says nothing; refuses one that would be lost. */
function refuseUnlessEmpty(scanner: JsonScanner, key: string, where: string): void {
  const kind = scanner.peekKind();
  if (kind === 'null') {
    scanner.literal(kind);
    return;
  }
  if (kind === 'array') {
    scanner.beginArray();
    if (!scanner.nextItem(true)) return;
  }
  throw scanner.error(
    'unsupported_field',
    `${where}: ${key} has a value, and this version of mvm would ignore it`,
  );
}

const EXPECTED: Readonly<Record<Exclude<Shape['kind'], 'json' | 'nullable' | 'message'>, string>> = {
  string: 'a string',
  boolean: 'true or false',
  integer: 'an integer',
  number: 'a number',
  scalar: 'a string, a number, true, false or null',
  array: 'an array',
  record: 'an object',
  object: 'an object',
};

/**
 * Reads the next value as `shape` says. `where` names the field for messages; `depth` counts the containers around it.
 * Throws CodedError `protocol.*`.
 */
export function readValue(scanner: JsonScanner, shape: Shape, where: string, depth: number): unknown {
  if (shape.kind === 'json') return readJson(scanner, where, depth);
  if (shape.kind === 'message') return shape.message.read(scanner, depth);
  const kind = scanner.peekKind();
  if (shape.kind === 'nullable') {
    if (kind !== 'null') return readValue(scanner, shape.inner, where, depth);
    scanner.literal('null');
    return null;
  }
  switch (shape.kind) {
    case 'string':
      if (kind === 'string') return scanner.string();
      break;
    case 'integer':
      if (kind === 'number') return readInteger(scanner, shape, where);
      break;
    case 'boolean':
      if (kind !== 'true' && kind !== 'false') break;
      scanner.literal(kind);
      return kind === 'true';
    case 'object': {
      if (kind !== 'object') break;
      const target: Plain = {};
      readFields(scanner, shape, target, where, depth);
      return target;
    }
    case 'array':
      if (kind === 'array') return readArray(scanner, shape.item, where, depth);
      break;
    case 'record':
      if (kind === 'object') return readRecord(scanner, shape.value, where, depth);
      break;
    case 'number':
      if (kind === 'number') return readNumber(scanner, where);
      break;
    case 'scalar':
      if (kind !== 'object' && kind !== 'array') return readJson(scanner, where, depth);
      break;
  }
  throw scanner.error('invalid_message', `${where}: expected ${EXPECTED[shape.kind]}`);
}
