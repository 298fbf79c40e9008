import { quoteForMessage } from '@mvm/errors';
import { z } from 'zod';
import { protocolError } from '../protocol-error.js';
import type { Tagged, TagTable } from '../tagged.js';
import { readFields } from './reader.js';
import type { JsonScanner } from './scanner.js';
import { compileObjectShape, type ObjectShape } from './shape.js';
import { writeFields } from './writer.js';

interface Tag {
  readonly fields: { readonly shape: ObjectShape; readonly schema: z.ZodObject } | null;
}

/** Reads and writes the messages of one table in serde's externally tagged form. */
export interface TaggedShape<M extends { readonly type: string }> {
  /**
   * Reads the next value as a message: `"Tag"`, `{"Tag":null}` (both without fields) or `{"Tag":{…}}`. `depth` counts the
   * containers around it, 0 when absent.
   */
  read(scanner: JsonScanner, depth?: number): M;
  /** The message as JSON text: known fields only, in the schema's order. */
  write(message: M, depth?: number): string;
}

/** Compiles a table once, at load. The messages' own fields named in `unsupported` are refused unless they are empty. */
export function compileTagged<T extends TagTable>(
  table: T,
  unsupported?: ReadonlySet<string>,
): TaggedShape<Tagged<T>> {
  const tags = new Map<string, Tag>();
  for (const [name, schema] of Object.entries(table)) {
    const fields =
      schema === null
        ? null
        : {
            shape: compileObjectShape(schema, unsupported),
            schema: z.object({ type: z.literal(name), ...schema.shape }),
          };
    tags.set(name, { fields });
  }

  function find(scanner: JsonScanner, name: string): Tag {
    const tag = tags.get(name);
    if (tag !== undefined) return tag;
    throw scanner.error('unknown_message', `unknown message ${quoteForMessage(name)}`);
  }

  function readContent(scanner: JsonScanner, name: string, depth: number): Tagged<T> {
    const { fields } = find(scanner, name);
    const kind = scanner.peekKind();
    if (fields === null) {
      if (kind !== 'null') throw scanner.error('invalid_message', `${name} has no fields`);
      scanner.literal('null');
      return { type: name } as Tagged<T>;
    }
    if (kind !== 'object') throw scanner.error('invalid_message', `${name}: expected an object of fields`);
    const raw: Record<string, unknown> = { type: name };
    readFields(scanner, fields.shape, raw, name, depth + 1);
    const parsed = fields.schema.safeParse(raw);
    if (parsed.success) return parsed.data as Tagged<T>;
    const issue = parsed.error.issues[0];
    const path = [name, ...(issue?.path ?? [])].join('.');
    throw protocolError('invalid_message', `${path}: ${issue?.message ?? 'invalid'}`, { path });
  }

  return {
    read(scanner, depth = 0) {
      const kind = scanner.peekKind();
      if (kind === 'string') {
        const name = scanner.string();
        if (find(scanner, name).fields === null) return { type: name } as Tagged<T>;
        throw scanner.error('invalid_message', `${name} needs its fields`);
      }
      if (kind !== 'object') {
        throw scanner.error('invalid_message', 'expected a message: a name, or an object with one name');
      }
      scanner.beginObject();
      const name = scanner.nextKey(true);
      if (name === null) throw scanner.error('invalid_message', 'expected the name of a message');
      const message = readContent(scanner, name, depth);
      if (scanner.nextKey(false) !== null) {
        throw scanner.error('invalid_message', 'expected only one message in the object');
      }
      return message;
    },
    write(message, depth = 0) {
      const tag = tags.get(message.type);
      if (tag === undefined) {
        throw protocolError(
          'unencodable',
          `cannot encode a message of type ${quoteForMessage(String(message.type))}`,
        );
      }
      if (tag.fields === null) return `"${message.type}"`;
      return `{"${message.type}":${writeFields(message, tag.fields.shape, depth + 1)}}`;
    },
  };
}
