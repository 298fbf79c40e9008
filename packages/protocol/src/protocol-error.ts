import { CodedError, type ErrorDetails } from '@mvm/errors';

/** The reasons with which codecs refuse bytes or values; all are `invalid_argument`. */
export type ProtocolReason =
  | 'message_too_large'
  | 'invalid_utf8'
  | 'malformed_json'
  | 'too_deep'
  | 'duplicate_field'
  | 'unknown_message'
  | 'invalid_message'
  | 'unsupported_field'
  | 'unencodable';

const HINTS: Readonly<Record<ProtocolReason, string>> = {
  message_too_large: 'Send less in one message: ask for smaller pages or shorter pieces.',
  invalid_utf8: 'Send the body as UTF-8, without a byte order mark.',
  malformed_json: 'Send exactly one JSON value (RFC 8259) and nothing after it.',
  too_deep: 'Nest values less deeply.',
  duplicate_field: 'Give every field once.',
  unknown_message: 'Compare both sides with `mvm version`: the peer may speak another version.',
  invalid_message: 'Compare the message with docs/protocol.md, and both sides with `mvm version`.',
  unsupported_field:
    'Leave the field out, or talk to a hostd that has it; docs/protocol.md lists the fields.',
  unencodable: 'This is a mistake in the calling program; correct the value.',
};

/** Every `protocol.*` reason of a codec. */
export const PROTOCOL_REASONS: readonly string[] = Object.keys(HINTS).map((reason) => `protocol.${reason}`);

/** A codec's refusal: `invalid_argument`, reason `protocol.<reason>`. */
export function protocolError(reason: ProtocolReason, message: string, details?: ErrorDetails): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: `protocol.${reason}`,
    message,
    hint: HINTS[reason],
    details,
  });
}
