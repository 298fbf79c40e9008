import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { AgentdClient } from '@mvm/agentd-api';
import type { InstanceView } from '@mvm/protocol';
import { demoImage, type RunningDaemon, requireOwnNetwork, startDaemon, until } from '@mvm/testkit';
import type { AgentdHome } from './agentd.js';

/** The cgroup of this test's VMs. */
export const CGROUP_PARENT = `mvma-${process.pid}`;

/** The demo image; throws in a network namespace that leads anywhere. */
export async function prepareVmTier(): ReturnType<typeof demoImage> {
  requireOwnNetwork();
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  return demoImage();
}

/** The real hostd, in the home's directory; it lets agentd's group in. */
export function startRealHostd(home: AgentdHome): Promise<RunningDaemon> {
  return startDaemon({
    daemon: 'hostd',
    socketPath: home.hostdSocket,
    args: [
      ...['--socket', home.hostdSocket, '--state-dir', join(home.dir, 's'), '--run-dir', join(home.dir, 'r')],
      ...['--group', 'nogroup', '--cgroup-parent', CGROUP_PARENT],
    ],
  });
}

/** What is on the guest's console. */
export async function consoleOf(client: AgentdClient, view: InstanceView): Promise<string> {
  const params = { tenant: view.tenant_id, pool: view.pool_id, instance: view.instance_id };
  const { data_base64 } = await client.getInstanceLogs({ params });
  return Buffer.from(data_base64, 'base64').toString();
}

/** The guest's own greeting on its console, once it is there. */
export async function greetingOf(client: AgentdClient, view: InstanceView): Promise<string> {
  return until(
    `${view.instance_id} is ready`,
    async () => /mvm-guest ready .*boot_id=[0-9a-f-]{36}/.exec(await consoleOf(client, view))?.[0],
    60_000,
  );
}
