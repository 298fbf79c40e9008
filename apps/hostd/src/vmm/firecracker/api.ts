/**
 * Firecracker's API: HTTP over a Unix socket.
 *
 * INVARIANTS
 * - One connection per request: after an HTTP error on a connection, the answers on it may belong to older requests.
 * - Every body has its length in the header: chunked ones are refused.
 * - Only the status says whether a request succeeded: texts differ between versions, and some errors are not JSON.
 */
// biome-ignore lint/style/noRestrictedImports: Firecracker is asked over HTTP, through a socket in its own jail alone.
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { CodedError } from '@mvm/protocol';
import { checkSocketPath } from '../process/socket-path.js';

/** Firecracker itself waits up to 30 s for its vCPUs. */
const ANSWERS_WITHIN_MS = 60_000;
const MAX_ANSWER_BYTES = 1_048_576;
const MAX_FAULT_CHARACTERS = 600;

export interface ApiRequest {
  readonly method: 'GET' | 'PUT' | 'PATCH';
  /** e.g. `/drives/data`. */
  readonly path: string;
  readonly body?: object;
  /** 60 000 unless told; writing or reading a guest's memory takes longer. */
  readonly timeoutMs?: number;
}

/** The API of one process. */
export interface FirecrackerApi {
  /**
   * The answer's JSON; null when there is none. Errors: `unavailable` `vmm.connection_lost`, `deadline_exceeded`
   * `vmm.command_timeout`, `internal` `vmm.command_failed` with what Firecracker says, `vmm.bad_answer`.
   */
  call(request: ApiRequest): Promise<unknown>;
}

/** The API behind a socket. Nothing is connected before a call. Throws `vmm.socket_path_too_long`. */
export function createApi(socketPath: string): FirecrackerApi {
  checkSocketPath(socketPath);
  return {
    call: async (request) => {
      const { status, text } = await exchange(socketPath, request);
      if (status >= 400) throw commandFailed(request, status, text);
      if (text.trim() === '') return null;
      try {
        return JSON.parse(text) as unknown;
      } catch (cause) {
        throw badAnswer(request, 'it is not JSON', cause);
      }
    },
  };
}

async function exchange(
  socketPath: string,
  { method, path, body, timeoutMs = ANSWERS_WITHIN_MS }: ApiRequest,
): Promise<{ readonly status: number; readonly text: string }> {
  const payload = body === undefined ? null : Buffer.from(JSON.stringify(body));
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = httpRequest(
        {
          socketPath,
          method,
          path,
          agent: false,
          signal,
          headers: {
            Accept: 'application/json',
            ...(payload === null
              ? {}
              : { 'Content-Type': 'application/json', 'Content-Length': payload.length }),
          },
        },
        resolve,
      );
      outgoing.once('error', reject);
      outgoing.end(payload ?? undefined);
    });
    return { status: response.statusCode ?? 0, text: await readText(response) };
  } catch (cause) {
    const what = `${method} ${path}`;
    if (signal.aborted) {
      throw new CodedError({
        code: 'deadline_exceeded',
        reason: 'vmm.command_timeout',
        message: `Firecracker did not answer ${what} within ${timeoutMs / 1000} s`,
        hint: 'The host may be overloaded. Repeat the request, or stop the instance.',
        cause,
      });
    }
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new CodedError({
      code: 'unavailable',
      reason: 'vmm.connection_lost',
      message: `no connection to Firecracker for ${what}: ${code ?? message}`,
      hint: 'Repeat the request. If the VM has ended, hostd records that by itself.',
      cause,
    });
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error('its answer does not end');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function commandFailed({ method, path }: ApiRequest, status: number, text: string): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.command_failed',
    message: `Firecracker refuses ${method} ${path} (${status}): ${faultOf(text)}`,
    hint: 'Look at the VMM’s log (mvm instance logs --stream vmm), and report what it refuses.',
    details: { status },
  });
}

function badAnswer({ method, path }: ApiRequest, why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.bad_answer',
    message: `Firecracker’s answer to ${method} ${path} is not valid: ${why}`,
    hint: 'Report it, with the version of Firecracker.',
    cause,
  });
}

/** What an error's body says, in one printable line; some bodies hold raw newlines and are no JSON. Pure. */
export function faultOf(text: string): string {
  let fault = text;
  try {
    const body = JSON.parse(text) as { fault_message?: unknown; error?: unknown };
    fault = String(body.fault_message ?? body.error ?? text);
  } catch {
    fault = /"(?:fault_message|error)"\s*:\s*"([\s\S]*?)"\s*\}?\s*$/.exec(text)?.[1] ?? text;
  }
  const line = fault
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, '')
    .trim();
  return line === '' ? 'without a reason' : line.slice(0, MAX_FAULT_CHARACTERS);
}
