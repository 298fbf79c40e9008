import type { AgentdClient } from '@mvm/agentd-api';
import type { InstanceView } from '@mvm/protocol';
import { until } from '@mvm/testkit';

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
