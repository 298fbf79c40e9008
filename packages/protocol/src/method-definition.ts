import { z } from 'zod';
import type { v2ResponseSchemas } from './v2/responses.js';

/** What one method of the contract is. Clients, agentd's routes and hostd's dispatch follow from it. */
export interface MethodDefinition {
  /** The first version of the protocol that has it. */
  readonly since: 1 | 2;
  /** The fields of the request in version 2; null for one without fields. */
  readonly request: z.ZodObject | null;
  /** The response that answers it, unless an Error does. */
  readonly response: Exclude<keyof typeof v2ResponseSchemas, 'Error'>;
  /** What the request addresses: its ids are `tenant_id`, `pool_id` and `instance_id` up to this object's. */
  readonly object: 'host' | 'tenant' | 'pool' | 'instance';
  /** Its name in audit logs, logs, plans and on the command line. */
  readonly operation: string;
  /** Whether it changes anything. One that does is audited, and `PlanRequest` says what it would do. */
  readonly mutates: boolean;
  /** Whether sending it again after it succeeded succeeds again and changes nothing. */
  readonly idempotent: boolean;
}

type Schemas<M extends Readonly<Record<string, MethodDefinition>>> = {
  readonly [K in keyof M]: M[K]['request'];
};

/** The request schemas of these methods, by tag. */
export function requestsOf<M extends Readonly<Record<string, MethodDefinition>>>(methods: M): Schemas<M> {
  const schemas = Object.entries(methods).map(([name, { request }]) => [name, request]);
  return Object.fromEntries(schemas) as Schemas<M>;
}

/** The ids of an instance's address. */
export const instanceAddress = { tenant_id: z.string(), pool_id: z.string(), instance_id: z.string() };
/** What a method takes whose answer is a page. */
export const page = {
  /** The `next_cursor` of the page before; absent or null for the first. */
  cursor: z.string().max(512).nullish(),
  /** At most this many objects, 1…500; 500 when absent. */
  limit: z.int().min(1).max(500).nullish(),
};
/** Of a method that changes something and refuses to do so twice. */
export const changes = { mutates: true, idempotent: false } as const;
/** Of a method that changes nothing when it is repeated. */
export const ensures = { mutates: true, idempotent: true } as const;
/** Of a method that changes nothing. */
export const reads = { mutates: false, idempotent: true } as const;
