import type { z } from 'zod';
import type { JsonScanner } from './scanner.js';

/** Reads and writes a message that stands inside another one. `depth` counts the containers around it. */
export interface EmbeddedShape {
  read(scanner: JsonScanner, depth: number): unknown;
  write(message: unknown, depth: number): string;
}

const shapes = new WeakMap<z.ZodType, EmbeddedShape>();

/** Says how the values of a schema are read and written; its clones (`.meta()`, `.refine()`) are not known by it. */
export function registerEmbedded(schema: z.ZodType, shape: EmbeddedShape): void {
  shapes.set(schema, shape);
}

/** The shape of a schema that {@link registerEmbedded} has. */
export function embeddedShapeOf(schema: z.ZodType): EmbeddedShape | undefined {
  return shapes.get(schema);
}
