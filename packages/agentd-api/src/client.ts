import { Agent, type RequestOptions, request } from 'node:http';
import { checkSocketPath } from '@mvm/framing';
import { CodedError, isCodedError } from '@mvm/protocol';
import type { z } from 'zod';
import { errorBodySchema, fromApiError } from './errors.js';
import type { RouteDefinition } from './routes/route.js';
import { type RouteName, type RouteResponse, routes } from './routes/routes.js';
import { transportError } from './transport-error.js';

export interface AgentdClientOptions {
  readonly socketPath: string;
  /** How long a call may take from start to the end of the answer, in milliseconds; 120 000 when absent. */
  readonly timeoutMs?: number;
  /** Largest answer that is taken, in bytes; {@link MAX_ANSWER_BYTES} when absent. */
  readonly maxAnswerBytes?: number;
}

/** Largest answer of agentd that a client takes: 4,096 tenants with 100,000 instances need less. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** In place of the client's `timeoutMs`, for this call. */
  readonly timeoutMs?: number;
}

// {} for a part that a route does not have or whose fields are all optional, so that callers may leave it out.
type Part<K extends string, T> =
  T extends Record<string, never>
    ? unknown
    : Partial<T> extends T
      ? { readonly [P in K]?: T }
      : { readonly [P in K]: T };

/** What a call of route `N` takes: `params`, `query` and `body`, each only where the route has it. */
export type RouteInput<N extends RouteName> = Part<'params', z.input<(typeof routes)[N]['params']>> &
  Part<'query', z.input<(typeof routes)[N]['query']>> &
  ((typeof routes)[N]['body'] extends z.ZodType
    ? { readonly body: z.input<(typeof routes)[N]['body']> }
    : unknown);

type Call<N extends RouteName> =
  Partial<RouteInput<N>> extends RouteInput<N>
    ? (input?: RouteInput<N>, options?: CallOptions) => Promise<RouteResponse<N>>
    : (input: RouteInput<N>, options?: CallOptions) => Promise<RouteResponse<N>>;

/** One method per route of agentd's API, named as in `routes`. */
export type AgentdClient = { readonly [N in RouteName]: Call<N> } & {
  /** Close the connections; calls under way fail with `unavailable`. */
  close(): Promise<void>;
};

interface AnyInput {
  readonly params?: Record<string, unknown>;
  readonly query?: Record<string, unknown>;
  readonly body?: unknown;
}

function parsePart(schema: z.ZodType, value: unknown, part: string): Record<string, unknown> {
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data as Record<string, unknown>;
  const issue = result.error.issues[0];
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'request.invalid',
    message: issue?.message ?? `the ${part} of the request is not valid`,
    details: { field: issue?.path.join('.') ?? part },
  });
}

/** Path and query of a call; every value is checked by the route's schema and percent-encoded. */
export function renderTarget(route: RouteDefinition, input: AnyInput): string {
  const params = parsePart(route.params, input.params, 'path');
  const path = route.path.replace(/:([a-z]+)/g, (_, name: string) =>
    encodeURIComponent(String(params[name])),
  );
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parsePart(route.query, input.query, 'query'))) {
    if (value !== undefined && value !== null) query.set(name, String(value));
  }
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}

function decodeAnswer(route: RouteDefinition, status: number, text: string): unknown {
  const ok = status >= 200 && status < 300;
  if (ok && route.format === 'text') return text;
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  if (ok) {
    const result = route.response.safeParse(body);
    if (result.success) return result.data;
  } else {
    const error = errorBodySchema.safeParse(body);
    if (error.success) throw fromApiError(error.data.error);
  }
  throw new CodedError({
    code: 'protocol_mismatch',
    reason: 'agentd.unexpected_answer',
    message: `agentd answered ${route.method} ${route.path} with something else than its API describes (HTTP ${status})`,
    hint: "Check that the socket is mvm-agentd's, and compare versions with `mvm version`.",
    details: { status },
  });
}

/**
 * A client for agentd's API on a Unix socket. It connects when first called and keeps connections open. Every failure
 * is a CodedError: agentd's own answer, or `unavailable` `agentd.unreachable`, `deadline_exceeded` `agentd.timeout`,
 * `canceled` `agentd.canceled`, `protocol_mismatch` `agentd.unexpected_answer`, `resource_exhausted`
 * `agentd.answer_too_large`. Throws `invalid_argument` at once when
 * the socket's path is too long.
 */
export function createAgentdClient(options: AgentdClientOptions): AgentdClient {
  const { socketPath } = options;
  checkSocketPath(socketPath);
  const { timeoutMs: defaultTimeoutMs = 120_000, maxAnswerBytes = MAX_ANSWER_BYTES } = options;
  // Nothing but the signal of each call limits its time.
  const agent = new Agent({ keepAlive: true });

  async function call(route: RouteDefinition, input: AnyInput, callOptions: CallOptions): Promise<unknown> {
    const path = renderTarget(route, input);
    const timeoutMs = callOptions.timeoutMs ?? defaultTimeoutMs;
    const deadline = AbortSignal.timeout(timeoutMs);
    const signal =
      callOptions.signal === undefined ? deadline : AbortSignal.any([deadline, callOptions.signal]);
    let status: number;
    let text: string;
    try {
      const body = route.body === null ? undefined : JSON.stringify(input.body);
      const { method } = route;
      ({ status, text } = await exchange(
        { agent, socketPath, method, path, signal },
        { body, maxAnswerBytes },
      ));
    } catch (error) {
      if (isCodedError(error)) throw error;
      throw transportError(error, {
        socketPath,
        timeoutMs,
        timedOut: deadline.aborted,
        canceled: callOptions.signal?.aborted ?? false,
      });
    }
    return decodeAnswer(route, status, text);
  }

  const calls = Object.fromEntries(
    Object.entries(routes).map(([name, route]) => [
      name,
      (input: AnyInput = {}, callOptions: CallOptions = {}) => call(route, input, callOptions),
    ]),
  );
  // `calls` has exactly the keys of `routes`, and each answer was decoded by its route's own schema.
  return { ...calls, close: async () => agent.destroy() } as unknown as AgentdClient;
}

/** One request and its whole answer. Rejects with Node's own error, or `resource_exhausted` when it is too large. */
function exchange(
  options: RequestOptions,
  { body, maxAnswerBytes }: { readonly body: string | undefined; readonly maxAnswerBytes: number },
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, host: 'agentd' }, (answer) => {
      const pieces: Buffer[] = [];
      let length = 0;
      answer
        .on('data', (piece: Buffer) => {
          length += piece.length;
          if (length > maxAnswerBytes) sent.destroy(answerTooLarge(options, maxAnswerBytes));
          else pieces.push(piece);
        })
        .on('end', () => {
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(pieces).toString('utf8') });
        })
        .on('error', reject);
    });
    sent.on('error', reject);
    if (body !== undefined) sent.setHeader('content-type', 'application/json');
    sent.end(body);
  });
}

function answerTooLarge({ method, path }: RequestOptions, maxAnswerBytes: number): CodedError {
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'agentd.answer_too_large',
    message: `agentd answered ${method} ${path?.split('?', 1)[0]} with more than ${maxAnswerBytes} bytes`,
    hint: 'Ask for less, for instance for one tenant or one pool.',
    details: { limit: maxAnswerBytes },
  });
}
