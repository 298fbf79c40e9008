import type { CodedError } from '@mvm/protocol';
import { commandError } from '../command/command-error.js';
import { type CommandRunner, createCommandRunner } from '../command/command-runner.js';

/**
 * Why `conntrack` cannot be used here, or null. Without it no port is attached, and what a port leaves stays until then.
 * Needs root. Source: conntrack(8), `-C`: the number of tracked connections.
 */
export async function findConntrackProblem(
  runner: CommandRunner = createCommandRunner(),
): Promise<CodedError | null> {
  // PRIVILEGE: the kernel's table of connections is read with CAP_NET_ADMIN.
  const result = await runner.run('conntrack', ['-C'], '');
  return result.exitCode === 0 ? null : commandError('conntrack', 'counting tracked connections', result);
}
