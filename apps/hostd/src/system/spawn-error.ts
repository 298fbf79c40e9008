import { CodedError } from '@mvm/protocol';
import { errnoOf } from '../state/fs-error.js';

/**
 * Why a program could not be started when the host has no room for one more process: `resource_exhausted`, reason
 * `host.no_processes`; null for any other failure. `error` is Node's or execa's. Source: fork(2), errors EAGAIN and ENOMEM.
 */
export function noProcesses(program: string, error: unknown): CodedError | null {
  const code = (error as { code?: unknown } | null)?.code;
  const errno = errnoOf(error) ?? (typeof code === 'string' ? code : null);
  if (errno !== 'EAGAIN' && errno !== 'ENOMEM') return null;
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'host.no_processes',
    message: `${program} cannot be started: this host has no process or memory left for it`,
    hint: 'Look at the limits of hostd (TasksMax of its unit, pids.max of its cgroup) and of the host, then repeat the request.',
    details: { errno },
    cause: error,
  });
}
