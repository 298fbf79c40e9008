import { isFramingError, requestOnce } from '@mvm/framing';
import { METHODS, type V2Request, type V2Response } from '@mvm/protocol';
import { type V1Request, v1RequestCodec, v1ResponseCodec } from '@mvm/protocol/v1';
import { badAnswer, hostdError, requestCanceled, requestTimeout } from './errors.js';

/** What one exchange of version 1 needs. */
export interface Version1Options {
  readonly socketPath: string;
  readonly connectTimeoutMs: number;
  /** A whole number. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Whether a request exists in version 1. */
export function isVersion1Request(request: V2Request): request is V1Request {
  return METHODS[request.type].since === 1;
}

/** One request over a connection of its own, as version 1 has it. Throws the errors that a session throws. */
export async function requestVersion1(request: V1Request, options: Version1Options): Promise<V2Response> {
  const { socketPath, timeoutMs, signal } = options;
  const body = v1RequestCodec.encode(request);
  let answer: Uint8Array;
  try {
    answer = await requestOnce({
      path: socketPath,
      body,
      connectTimeoutMs: Math.min(options.connectTimeoutMs, timeoutMs),
      responseTimeoutMs: timeoutMs,
      signal,
    });
  } catch (error) {
    if (!isFramingError(error)) throw error;
    if (error.reason === 'response.timeout') throw requestTimeout(socketPath, request.type, timeoutMs);
    if (error.reason === 'request.canceled') throw requestCanceled(request.type, signal?.reason);
    if (error.reason === 'frame.too_large') throw badAnswer(socketPath, error.message, error);
    throw hostdError(error, socketPath);
  }
  try {
    return v1ResponseCodec.decode(answer);
  } catch (error) {
    throw badAnswer(socketPath, `its answer to ${request.type} is none of version 1`, error);
  }
}
