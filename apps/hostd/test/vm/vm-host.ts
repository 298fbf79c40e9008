import { join } from 'node:path';
import type { GuestVariant } from '@mvm/guest-image';
import type { HostdClient } from '@mvm/hostd-client';
import {
  diffHost,
  type HostDifference,
  type HostSnapshot,
  registerDemoImage,
  snapshotHost,
  until,
} from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import type { InstanceAddress } from '../../src/state/layout.js';

/** A test host with the demo image, or its variant for tests, registered as `demo`. */
export async function createVmHost(variant: GuestVariant = 'demo'): Promise<Host> {
  const host = await createHost();
  await registerDemoImage(host.stateDir, variant);
  return host;
}

/** Everything on the host that carries this test host's names, now. */
export function look(host: Host): Promise<HostSnapshot> {
  return snapshotHost({ marks: [host.dir, host.cgroupParent] });
}

/** What has changed on the host since; hostd itself (its pid differs after a restart) does not count. */
export async function leftSince(host: Host, before: HostSnapshot): Promise<HostDifference[]> {
  const differences = diffHost(before, await look(host));
  return differences.filter(
    ({ item }) => !/\/mvm-hostd(-crash)?\.js /.test(item) && !item.endsWith(host.cgroupParent),
  );
}

/** The guest's greeting, once it is on the console; `after` skips greetings of earlier boots. */
export async function greeting(client: HostdClient, address: InstanceAddress, after = 0): Promise<string> {
  return await until(
    'greeting',
    async () => {
      const { data_base64 } = await client.request({ type: 'InstanceLogs', ...address, offset: after });
      const text = Buffer.from(data_base64, 'base64').toString();
      return /mvm-guest ready .*boot_id=[0-9a-f-]{36}/.exec(text)?.[0] ?? null;
    },
    90_000,
  );
}

/** The highest number that the guest has counted to. */
export async function guestCount(client: HostdClient, address: InstanceAddress): Promise<number> {
  const { data_base64 } = await client.request({ type: 'InstanceLogs', ...address });
  const text = Buffer.from(data_base64, 'base64').toString();
  // Of this boot: an earlier one of the instance may have counted further.
  const boot = text.slice(Math.max(0, text.lastIndexOf('mvm-guest ready')));
  return Math.max(0, ...[...boot.matchAll(/alive count=(\d+)/g)].map((match) => Number(match[1])));
}

/** Path of a file of an instance. */
export function instanceFile(host: Host, address: InstanceAddress, ...parts: string[]): string {
  const { tenant_id, pool_id, instance_id } = address;
  return join(host.stateDir, 'tenants', tenant_id, 'pools', pool_id, 'instances', instance_id, ...parts);
}
