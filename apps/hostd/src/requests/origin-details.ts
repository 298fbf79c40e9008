import type { RequestOrigin } from '@mvm/protocol';

/** What the audit log says of a request's origin; the peer said it, and only the peer itself is proven. */
export function originDetails(origin: RequestOrigin | undefined): [string, string | number][] {
  if (origin === undefined) return [];
  // One line in any log, of the length that the protocol asks for.
  const cause = origin.cause.slice(0, 256).replace(/[\p{Cc}\u2028\u2029]/gu, ' ');
  return [...(origin.uid === null ? [] : [['for_uid', origin.uid] as [string, number]]), ['cause', cause]];
}
