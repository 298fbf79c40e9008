import { z } from 'zod';
import type { Tagged, TagTable } from '../tagged.js';
import { registerEmbedded } from './embedded-shape.js';
import { compileTagged } from './tagged-shape.js';

const tables = new WeakMap<z.ZodType, TagTable>();

/**
 * The schema of a field that holds a whole message of a table. On the wire that stands as it would by itself; in memory
 * it is `{type: Tag, …fields}`, checked by the codec when it is read. `unsupported` as in `compileTagged`.
 */
export function embeddedMessage<T extends TagTable>(
  table: T,
  unsupported?: ReadonlySet<string>,
): z.ZodType<Tagged<T>> {
  const schema = z.custom<Tagged<T>>((value) => {
    const type = (value as { type?: unknown } | null)?.type;
    return typeof type === 'string' && Object.hasOwn(table, type);
  }, 'expected a message');
  const shape = compileTagged(table, unsupported);
  registerEmbedded(schema, {
    read: shape.read,
    write: (message, depth) => shape.write(message as Tagged<T>, depth),
  });
  tables.set(schema, table);
  return schema;
}

/** The table of an {@link embeddedMessage}; undefined for any other schema. */
export function embeddedTableOf(schema: z.ZodType): TagTable | undefined {
  return tables.get(schema);
}
