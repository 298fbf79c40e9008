import { quoteForMessage } from '@mvm/errors';
import { CodedError } from '@mvm/protocol';

/** `failed_precondition`, `guest_stream.refused`. What the guest says is quoted and cut. */
export function streamRefused(said: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'guest_stream.refused',
    message: `the guest did not open it: ${quoteForMessage(said)}`,
  });
}

/** `failed_precondition`, `guest_stream.violated`. */
export function streamViolated(how: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'guest_stream.violated',
    message: `the guest's agent broke the rules of streams: ${how}`,
    hint: 'The program in the guest is hung up. Do not trust this guest.',
  });
}

/** `failed_precondition`, `guest_stream.unsupported`. */
export function streamsUnsupported(): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'guest_stream.unsupported',
    message: "the guest's agent has no streams",
    hint: 'Its image was made by an older mvm or by other means: import it again (mvm image import), then restart the instance.',
  });
}

/** `aborted`, `guest_stream.slept`. */
export function streamSlept(): CodedError {
  return new CodedError({
    code: 'aborted',
    reason: 'guest_stream.slept',
    message: 'the stream was closed: the instance was put to sleep',
    hint: 'Wake the instance (mvm instance wake), and run the command again.',
  });
}

/** `unavailable`, `guest_stream.lost`. */
export function streamLost(why: string): CodedError {
  return new CodedError({
    code: 'unavailable',
    reason: 'guest_stream.lost',
    message: `the stream was closed: ${why}`,
    hint: 'See how the instance is: mvm instance info.',
  });
}

/** `resource_exhausted`, `guest_stream.too_many`. */
export function tooManyStreams(of: string, max: number): CodedError {
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'guest_stream.too_many',
    message: `${of} has ${max} streams already`,
    hint: 'End some, and try again.',
  });
}

/** `resource_exhausted`, `guest_stream.too_fast`. */
export function streamsTooFast(uid: number): CodedError {
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'guest_stream.too_fast',
    message: `user ${uid} opens streams faster than hostd allows`,
    hint: 'Try again in a second.',
  });
}

/** `unavailable`, `guest_stream.stalled`. */
export function guestStalled(bytes: number): CodedError {
  return new CodedError({
    code: 'unavailable',
    reason: 'guest_stream.stalled',
    message: `the guest does not read: ${bytes} bytes wait for it`,
    hint: 'It may be busy or hang: look at its console (mvm instance logs).',
  });
}

/** `invalid_argument`, `guest_stream.invalid`: the caller's mistake. */
export function streamInvalid(how: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'guest_stream.invalid',
    message: how,
    hint: 'docs/guest-streams.md says what a stream may be and carry.',
  });
}
