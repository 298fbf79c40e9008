import { type CodedError, isCodedError } from '@mvm/errors';
import { readValue } from '../json/reader.js';
import type { JsonScanner } from '../json/scanner.js';
import { compileShape } from '../json/shape.js';
import { requestIdSchema } from './frame-schemas.js';
import { originShape, type RequestOrigin } from './origin.js';

/** How a request's id stands on the wire. */
export const idShape = compileShape(requestIdSchema);

/** What an envelope `{"id":n,"<member>":…}` held: the message, or why that was refused. */
export type Envelope<M> =
  | { readonly id: number; readonly message: M; readonly origin?: RequestOrigin }
  | { readonly id: number; readonly error: CodedError };

/**
 * Reads the members of an envelope whose `{` is consumed and whose first key is `firstKey`, up to and with `}`. Members
 * come in any order, unknown ones are skipped, a name given twice is refused. A message that is refused although it is
 * JSON leaves the envelope readable, so that the answer can carry the id.
 */
export function readEnvelope<M>(
  scanner: JsonScanner,
  firstKey: string | null,
  member: 'request' | 'response',
  readMessage: (scanner: JsonScanner) => M,
): Envelope<M> {
  let id: number | undefined;
  let outcome: { message: M } | { error: CodedError } | undefined;
  let origin: { message: RequestOrigin } | { error: CodedError } | undefined;
  for (let key = firstKey; key !== null; key = scanner.nextKey(false)) {
    if (key === 'id') {
      if (id !== undefined) throw scanner.error('duplicate_field', 'field id is given twice');
      id = readValue(scanner, idShape, 'id', 1) as number;
    } else if (key === member) {
      if (outcome !== undefined) throw scanner.error('duplicate_field', `field ${member} is given twice`);
      outcome = readRecoverably(scanner, readMessage);
    } else if (key === 'origin' && member === 'request') {
      if (origin !== undefined) throw scanner.error('duplicate_field', 'field origin is given twice');
      origin = readRecoverably(scanner, readOrigin);
    } else scanner.skipValue();
  }
  if (id === undefined) throw scanner.error('invalid_message', 'field id is missing');
  if (outcome === undefined) throw scanner.error('invalid_message', `field ${member} is missing`);
  if (origin === undefined || 'error' in outcome) return { id, ...outcome };
  return 'error' in origin ? { id, error: origin.error } : { id, ...outcome, origin: origin.message };
}

function readOrigin(scanner: JsonScanner): RequestOrigin {
  return readValue(scanner, originShape, 'origin', 1) as RequestOrigin;
}

function readRecoverably<M>(
  scanner: JsonScanner,
  readMessage: (scanner: JsonScanner) => M,
): { message: M } | { error: CodedError } {
  const start = scanner.position;
  try {
    return { message: readMessage(scanner) };
  } catch (error) {
    if (!isCodedError(error)) throw error;
    scanner.rewind(start);
    scanner.skipValue();
    return { error };
  }
}
