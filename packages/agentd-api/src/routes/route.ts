import type { z } from 'zod';

/** One route: everything that the server, the typed client and the OpenAPI document need to know of it. */
export interface RouteDefinition {
  readonly method: 'GET' | 'PUT' | 'POST';
  /** With `:name` for each key of `params`. */
  readonly path: string;
  readonly summary: string;
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  /** Null when the route takes no body. */
  readonly body: z.ZodType | null;
  readonly response: z.ZodType;
  /** `json`: `response` is a JSON body; `text`: it is the body's text. */
  readonly format: 'json' | 'text';
}
