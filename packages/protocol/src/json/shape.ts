import { z } from 'zod';
import { isU64Schema } from '../wire-integers.js';
import { type EmbeddedShape, embeddedShapeOf } from './embedded-shape.js';

/**
 * How a value stands on the wire: enough to read it from a JSON text without building what is not wanted, and to write
 * it with its fields in order. Compiled once from the zod schema, which stays the source and checks the rest
 * (lengths, patterns, defaults).
 */
export type Shape =
  | { readonly kind: 'string' }
  | { readonly kind: 'boolean' }
  /** Only integer tokens: no fraction, no exponent; no minus when `min` is not negative. `clamp`: u64. */
  | { readonly kind: 'integer'; readonly min: number; readonly max: number; readonly clamp: boolean }
  /** Any finite number. */
  | { readonly kind: 'number' }
  /** String, finite number, boolean or null. */
  | { readonly kind: 'scalar' }
  /** Any JSON value, at most `MAX_JSON_DEPTH` deep, no duplicate names. */
  | { readonly kind: 'json' }
  /** A message of a table, in serde's externally tagged form. */
  | { readonly kind: 'message'; readonly message: EmbeddedShape }
  | { readonly kind: 'nullable'; readonly inner: Shape }
  | { readonly kind: 'array'; readonly item: Shape }
  | { readonly kind: 'record'; readonly value: Shape }
  | ObjectShape;

export interface ObjectShape {
  readonly kind: 'object';
  /** In the order in which they are written. */
  readonly fields: readonly FieldShape[];
  readonly byName: ReadonlyMap<string, FieldShape>;
  /** Whether unknown fields are refused instead of skipped; from a strict schema. */
  readonly strict: boolean;
  /** Fields of other peers that would change what is done: null and empty values are skipped, others refused. */
  readonly unsupported: ReadonlySet<string>;
}

export interface FieldShape {
  readonly name: string;
  readonly shape: Shape;
  /** Position in `fields`. */
  readonly index: number;
  /** `null`: read as absent or null, written as null when absent (serde's Option). `omit`: left out when absent. */
  readonly whenAbsent: 'error' | 'null' | 'omit';
}

function compileField(name: string, index: number, schema: z.ZodType): FieldShape {
  let inner = schema;
  let whenAbsent: FieldShape['whenAbsent'] = 'error';
  if (inner instanceof z.ZodOptional) {
    inner = inner.unwrap() as z.ZodType;
    whenAbsent = inner instanceof z.ZodNullable ? 'null' : 'omit';
  } else if (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) {
    inner = inner.unwrap() as z.ZodType;
    whenAbsent = 'omit';
  }
  return { name, index, shape: compileShape(inner), whenAbsent };
}

/** The shape of a struct's fields. */
export function compileObjectShape(
  schema: z.ZodObject,
  unsupported: ReadonlySet<string> = NONE,
): ObjectShape {
  const fields = Object.entries(schema.shape).map(([name, field], index) => {
    return compileField(name, index, field as z.ZodType);
  });
  const strict = schema.def.catchall instanceof z.ZodNever;
  const byName = new Map(fields.map((field) => [field.name, field]));
  return { kind: 'object', fields, byName, strict, unsupported };
}

const NONE: ReadonlySet<string> = new Set();

function isScalarUnion(schema: z.ZodUnion): boolean {
  return schema.options.every((option) => {
    return (
      option instanceof z.ZodString ||
      option instanceof z.ZodNumber ||
      option instanceof z.ZodBoolean ||
      option instanceof z.ZodNull ||
      option instanceof z.ZodLiteral
    );
  });
}

/** The shape of a schema's values. A construct that the wire does not use is a mistake in this package: plain Error. */
export function compileShape(schema: z.ZodType): Shape {
  if (schema instanceof z.ZodObject) return compileObjectShape(schema);
  if (schema instanceof z.ZodNullable) {
    return { kind: 'nullable', inner: compileShape(schema.unwrap() as z.ZodType) };
  }
  if (schema instanceof z.ZodArray) return { kind: 'array', item: compileShape(schema.element as z.ZodType) };
  if (schema instanceof z.ZodRecord) {
    return { kind: 'record', value: compileShape(schema.valueType as z.ZodType) };
  }
  if (schema instanceof z.ZodString || schema instanceof z.ZodEnum) return { kind: 'string' };
  if (schema instanceof z.ZodBoolean) return { kind: 'boolean' };
  if (schema instanceof z.ZodNumber) {
    if (!schema.isInt) return { kind: 'number' };
    const min = schema.minValue ?? Number.MIN_SAFE_INTEGER;
    const max = schema.maxValue ?? Number.MAX_SAFE_INTEGER;
    return { kind: 'integer', min, max, clamp: isU64Schema(schema) };
  }
  if (schema instanceof z.ZodUnion && isScalarUnion(schema)) return { kind: 'scalar' };
  if (schema instanceof z.ZodUnknown) return { kind: 'json' };
  const message = embeddedShapeOf(schema);
  if (message !== undefined) return { kind: 'message', message };
  throw new Error(`the wire has no form for a schema of type ${schema.type}`);
}
