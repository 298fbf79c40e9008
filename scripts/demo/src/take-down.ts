import { readFileSync, rmSync } from 'node:fs';
import { createHostdClient } from '@mvm/hostd-client';
import { removeCgroups } from '@mvm/node-host';
import { diffHost, type HostDifference, snapshotHost } from '@mvm/testkit';
import { removeAccount } from './account.js';
import { clearState, type DemoState } from './demo-state.js';
import { demoPaths } from './paths.js';
import { endProcess, isAlive } from './processes.js';

/** How it went: what the host has more or less than before, and what went wrong on the way. */
export interface TakenDown {
  readonly differences: readonly HostDifference[];
  readonly problems: readonly string[];
}

/**
 * Takes down everything that the state names, whether a demo finished, failed or was killed, and compares the host
 * with what it was before. Each step is tried even when one before it fails; repeating it is harmless.
 */
export async function takeDown(repo: string, state: DemoState): Promise<TakenDown> {
  const problems: string[] = [];
  const attempt = async (what: string, work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (error) {
      problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };

  const { agentd, hostd, holder } = state;
  // agentd first: it would put back what is destroyed.
  if (agentd) await attempt('stopping agentd', () => endProcess(agentd, 10_000));
  if (hostd && isAlive(hostd)) await attempt('destroying the instances', () => destroyInstances(state));
  if (hostd) await attempt('stopping hostd', () => endProcess(hostd, 10_000));
  await attempt('removing the cgroups', () => removeCgroups(state.id));
  // The namespace ends with its last process, and the bridges, TAPs and tables in it with the namespace.
  if (holder) await attempt('ending the namespace', () => endProcess(holder, 2000));
  await attempt('removing the temporary directory', () => removeTemporaryDirectory(state.dir));
  await attempt('removing the user mvm', () => removeAccount(state));
  if (problems.length === 0) clearState(repo);
  return { differences: diffHost(state.before, await snapshotHost({ marks: [state.id] })), problems };
}

/** The orderly way, through hostd; what it leaves, the steps after it find. */
async function destroyInstances(state: DemoState): Promise<void> {
  const client = createHostdClient({ socketPath: demoPaths(state.dir).hostdSocket, clientName: 'mvm-demo' });
  try {
    // Listed again until none is left: agentd may have created one right before it was stopped.
    for (let round = 0; round < 10; round += 1) {
      const { instances } = await client.request({ type: 'ListInstances' });
      if (instances.length === 0) return;
      await Promise.all(
        instances.map(({ tenant_id, pool_id, instance_id }) =>
          client.request({ type: 'DestroyInstance', tenant_id, pool_id, instance_id, wipe_volumes: true }),
        ),
      );
    }
  } finally {
    await client.close();
  }
}

/** SAFETY: refuses while anything is mounted below it, which the removal would otherwise reach into. */
function removeTemporaryDirectory(dir: string): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path === dir || path.startsWith(`${dir}/`));
  if (mounted.length > 0) throw new Error(`still mounted: ${mounted.join(', ')}`);
  rmSync(dir, { recursive: true, force: true });
}
