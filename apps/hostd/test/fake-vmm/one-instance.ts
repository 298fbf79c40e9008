import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { toCodedError } from '@mvm/protocol';
import { createHost, type Host } from '@mvm/testkit/host';
import { createLayout, type InstanceAddress, type Layout } from '../../src/state/layout.js';
import { type GuestNow, queryVm } from '../model/machines.js';
import { ensureTenantAndPool } from '../tenants.js';
import type { Fault, VmmCall } from './driver.js';
import { type InProcessHostd, startInProcess } from './in-process.js';

/** A host of its own whose hostd runs one instance in the fake VMM. */
export interface OneInstance {
  readonly address: InstanceAddress;
  readonly host: Host;
  readonly client: HostdClient;
  readonly layout: Layout;
  readonly vmId: string;
  /** The hostd of now. */
  readonly hostd: InProcessHostd;
  /** What goes wrong at a call of the VMM; null: nothing. */
  faultOf: (call: VmmCall) => Fault | null;
  /** What hostd tells of the instance. */
  described(): ReturnType<typeof describe>;
  /** What the VM itself tells. */
  vm(): Promise<GuestNow>;
  /** Make the instance's record one that cannot be replaced, and as it was again. */
  blockRecord(): void;
  unblockRecord(): void;
  /** The next hostd takes the place of this one; `meanwhile` is done when there is none. */
  restart(meanwhile?: () => void): Promise<void>;
  dispose(): Promise<void>;
}

const describe = (client: HostdClient, address: InstanceAddress) =>
  client.request({ type: 'DescribeInstance', ...address });

export async function createOneInstance(): Promise<OneInstance> {
  const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
  const host = await createHost();
  const layout = createLayout(host.stateDir, host.runDir);
  const start = (): Promise<InProcessHostd> => startInProcess(host, { faultOf: (call) => one.faultOf(call) });
  let hostd = await start();
  const client = host.client();
  await hostd.registerImage('demo');
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  const { net } = await describe(client, address);
  const vmId = net?.tap_dev ?? '';
  const record = layout.instanceRecord(address);
  const one: OneInstance = {
    address,
    host,
    client,
    layout,
    vmId,
    get hostd() {
      return hostd;
    },
    faultOf: () => null,
    described: () => describe(client, address),
    vm: () => queryVm(join(layout.vmSocketDir(vmId), 'control.sock')),
    blockRecord: () => {
      renameSync(record, `${record}.aside`);
      mkdirSync(join(record, 'in-the-way'), { recursive: true });
    },
    unblockRecord: () => {
      rmSync(record, { recursive: true });
      renameSync(`${record}.aside`, record);
    },
    restart: async (meanwhile) => {
      await hostd.close();
      meanwhile?.();
      hostd = await start();
    },
    dispose: async () => {
      one.faultOf = () => null;
      await client
        .request({ type: 'DestroyInstance', ...address, wipe_volumes: false })
        .catch((error: unknown) => {
          // A test may have destroyed it.
          if (toCodedError(error).code !== 'not_found') throw error;
        });
      await client.close();
      await hostd.close();
      await host.dispose();
    },
  };
  await client.request({ type: 'StartInstance', ...address });
  return one;
}
