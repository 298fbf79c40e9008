import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { AgentdClient, Status } from '@mvm/agentd-api';
import { until } from '@mvm/testkit';
import { UNPRIVILEGED } from '@mvm/testkit/host';

/** The first status that `accept` takes; fails with the last one after 20 s, or `timeoutMs`. */
export async function statusWhen(
  client: AgentdClient,
  accept: (status: Status) => boolean,
  timeoutMs = 20_000,
): Promise<Status> {
  let last: Status | null = null;
  const probe = async (): Promise<Status | null> => {
    last = await client.getStatus();
    return accept(last) ? last : null;
  };
  return until('the status', probe, timeoutMs).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(last, null, 1)}`, { cause: error });
  });
}

export interface ProgramResult {
  readonly status: number | null;
  readonly stderr: string;
}

/** Run `mvm-agentd` to its end; for starts that are refused. Ended after 15 s. */
export async function runAgentd(
  args: readonly string[],
  prefix: readonly string[] = UNPRIVILEGED,
): Promise<ProgramResult> {
  const program = fileURLToPath(new URL('../../bin/mvm-agentd.js', import.meta.url));
  const [command = '', ...rest] = [...prefix, process.execPath, program, ...args];
  const child = spawn(command, rest, {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 15_000,
    killSignal: 'SIGKILL',
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [status] = await once(child, 'close');
  return { status: status as number | null, stderr };
}
