import { CodedError } from '@mvm/protocol';

export interface TransportFacts {
  readonly socketPath: string;
  readonly timeoutMs: number;
  readonly timedOut: boolean;
  readonly canceled: boolean;
}

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'Start it (systemctl start mvm-agentd), or give the socket that it listens on with --socket.',
  ECONNREFUSED:
    'The socket exists but no process listens on it: start mvm-agentd (systemctl start mvm-agentd).',
  EACCES: "Run as a member of the socket's group (see ls -l), or as the user that runs mvm-agentd.",
};

const MEANINGS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'no process listens',
  EACCES: 'this user may not',
  ECONNRESET: 'the connection was closed',
  EPIPE: 'the connection was closed',
};

function errnoOf(error: unknown): string | null {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = (at as NodeJS.ErrnoException).code;
    if (code !== undefined && /^E[A-Z]+$/.test(code)) return code;
  }
  return null;
}

/** What went wrong on the way to agentd and back, as a CodedError with the next step. The one place that maps errno. */
export function transportError(error: unknown, facts: TransportFacts): CodedError {
  const { socketPath } = facts;
  if (facts.canceled) {
    return new CodedError({
      code: 'canceled',
      reason: 'agentd.canceled',
      message: 'the call to mvm-agentd was canceled',
      cause: error,
    });
  }
  if (facts.timedOut) {
    return new CodedError({
      code: 'deadline_exceeded',
      reason: 'agentd.timeout',
      message: `mvm-agentd at ${socketPath} did not answer within ${facts.timeoutMs} ms`,
      hint: 'What was asked may still be under way: look with `mvm status`, or allow more time.',
      details: { timeout_ms: facts.timeoutMs },
      cause: error,
    });
  }
  const errno = errnoOf(error);
  const what = error instanceof Error ? error.message : String(error);
  const why = errno === null ? what : `${MEANINGS[errno] ?? 'it failed'} (${errno})`;
  return new CodedError({
    code: errno === 'EACCES' ? 'permission_denied' : 'unavailable',
    reason: errno === 'EACCES' ? 'agentd.permission_denied' : 'agentd.unreachable',
    message: `cannot reach mvm-agentd at ${socketPath}: ${why}`,
    hint:
      (errno === null ? undefined : HINTS[errno]) ??
      'Check that mvm-agentd runs, and its log (journalctl -u mvm-agentd).',
    details: { socket: socketPath, errno },
    cause: error,
  });
}
