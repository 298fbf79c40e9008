import fc from 'fast-check';
import { z } from 'zod';
import { embeddedTableOf } from '../src/json/embedded-message.js';
import type { TagTable } from '../src/tagged.js';

/** Well-formed Unicode of any kind, control characters and characters outside the BMP included. */
function text(maxLength: number): fc.Arbitrary<string> {
  return fc
    .string({ unit: 'binary', maxLength: Math.min(maxLength, 20) })
    .filter((s) => s.length <= maxLength);
}

function arbitraryString(schema: z.ZodString): fc.Arbitrary<string> {
  const patterns = (schema._zod.def.checks ?? []).flatMap((check) => {
    const { pattern } = check._zod.def as { pattern?: RegExp };
    return pattern === undefined ? [] : [pattern];
  });
  const last = patterns.at(-1);
  if (last !== undefined)
    return fc.stringMatching(last).filter((s) => patterns.every((pattern) => pattern.test(s)));
  return text(schema.maxLength ?? 1000).filter((s) => s.length >= (schema.minLength ?? 0));
}

function arbitraryNumber(schema: z.ZodNumber): fc.Arbitrary<number> {
  const min = schema.minValue ?? Number.MIN_SAFE_INTEGER;
  const max = schema.maxValue ?? Number.MAX_SAFE_INTEGER;
  if (schema.isInt) {
    const small = fc.integer(clampRange(min, max));
    return max > 2 ** 31 ? fc.oneof(small, fc.integer({ min, max })) : small;
  }
  return fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n));
}

function clampRange(min: number, max: number): { min: number; max: number } {
  return { min: Math.max(min, -(2 ** 31)), max: Math.min(max, 2 ** 31 - 1) };
}

/**
 * Values that a schema accepts, as it gives them back (defaults filled in, absent Options left out or null). Throws for
 * a schema that it does not know, so that a new construct cannot go untested.
 */
function arbitraryOf(schema: z.ZodType): fc.Arbitrary<unknown> {
  if (schema instanceof z.ZodObject) return arbitraryFields(schema);
  if (schema instanceof z.ZodNullable)
    return fc.option(arbitraryOf(schema.unwrap() as z.ZodType), { nil: null });
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return arbitraryOf(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodArray)
    return fc.array(arbitraryOf(schema.element as z.ZodType), { maxLength: 4, minLength: 1 });
  if (schema instanceof z.ZodRecord) {
    const key = arbitraryOf(schema.keyType as z.ZodType) as fc.Arbitrary<string>;
    const value = arbitraryOf(schema.valueType as z.ZodType);
    // zod leaves out a key `__proto__` of a record.
    return fc.dictionary(
      key.filter((name) => name !== '__proto__'),
      value,
      { maxKeys: 4, noNullPrototype: true },
    );
  }
  if (schema instanceof z.ZodEnum) return fc.constantFrom(...schema.options);
  if (schema instanceof z.ZodString) return arbitraryString(schema);
  if (schema instanceof z.ZodBoolean) return fc.boolean();
  if (schema instanceof z.ZodNumber) return arbitraryNumber(schema);
  if (schema instanceof z.ZodNull) return fc.constant(null);
  if (schema instanceof z.ZodLiteral) return fc.constantFrom(...schema.values);
  if (schema instanceof z.ZodUnion)
    return fc.oneof(...schema.options.map((option) => arbitraryOf(option as z.ZodType)));
  if (schema instanceof z.ZodUnknown)
    // As JSON has it: no -0, and no own member named __proto__, which comparing overlooks.
    return fc
      .jsonValue({ maxDepth: 2 })
      .map((value) => JSON.parse(JSON.stringify(value).replaceAll('__proto__', 'p')));
  const table = embeddedTableOf(schema);
  if (table !== undefined) return arbitraryMessage(table);
  throw new Error(`no values for a schema of type ${schema.type}`);
}

function arbitraryFields(schema: z.ZodObject): fc.Arbitrary<Record<string, unknown>> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  const requiredKeys: string[] = [];
  for (const [name, field] of Object.entries(schema.shape)) {
    const type = field as z.ZodType;
    if (!(type instanceof z.ZodOptional)) {
      fields[name] = arbitraryOf(type);
      requiredKeys.push(name);
      continue;
    }
    const inner = type.unwrap() as z.ZodType;
    fields[name] = arbitraryOf(inner);
    // An absent Option is written as null, so only null survives a round trip.
    if (inner instanceof z.ZodNullable) requiredKeys.push(name);
  }
  return fc.record(fields, { requiredKeys, noNullPrototype: true });
}

/** Messages of a table, every tag equally often. */
export function arbitraryMessage(table: TagTable): fc.Arbitrary<{ type: string }> {
  return fc.oneof(
    ...Object.entries(table).map(([type, schema]) => {
      return schema === null
        ? fc.constant({ type })
        : arbitraryFields(schema).map((fields) => ({ type, ...fields }));
    }),
  );
}
