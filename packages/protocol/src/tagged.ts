import type { z } from 'zod';

/** A table from tag to the schema of the tag's fields, or null for a tag without fields. */
export type TagTable = Readonly<Record<string, z.ZodObject | null>>;

/** The union of all messages of a table: `{type: Tag, …fields}`. On the wire: `{"Tag":{…fields}}` or `"Tag"`. */
export type Tagged<T extends TagTable> = {
  [K in keyof T & string]: T[K] extends z.ZodObject ? { type: K } & z.output<T[K]> : { type: K };
}[keyof T & string];
