import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createNetworkExecutor } from '../../src/execute/index.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from '../support/desired.js';
import { enterTestHost, hostState, linkNames, sh } from '../support/host.js';

const net = tenantNet(3);
const bystander = { net: tenantNet(9), ports: [instancePort(tenantNet(9), 3)] };
const script = new URL('../support/crash-child.mjs', import.meta.url).pathname;

/** Runs the child, which ends itself by SIGKILL at the wanted point. */
function crash(operation: string, when: string, nth: number): void {
  const child = spawnSync(process.execPath, [script, operation, when, String(nth)], {
    encoding: 'utf8',
  });
  expect([child.signal, child.stdout, child.stderr]).toEqual(['SIGKILL', '', '']);
}

/** Programs of this network namespace that wait for a script, or run one. */
function programs(): string[] {
  const own = readlinkSync('/proc/self/ns/net');
  return readdirSync('/proc').flatMap((pid) => {
    try {
      if (readlinkSync(`/proc/${pid}/ns/net`) !== own) return [];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return /^(?:ip|nft) .*-$/.test(command) ? [command] : [];
    } catch {
      return [];
    }
  });
}

let bare: string;

beforeAll(() => {
  enterTestHost();
  sh('ip', 'link', 'add', 'up0', 'type', 'bridge');
  bare = hostState();
});

afterAll(() => {
  sh('ip', 'link', 'delete', 'up0');
});

const POINTS = ['before', 'half', 'after'];
const OPERATIONS = [
  { operation: 'reconcile', commands: 2 },
  { operation: 'ensure', commands: 2 },
  { operation: 'attach', commands: 2 },
  { operation: 'detach', commands: 2 },
  { operation: 'remove', commands: 2 },
  { operation: 'removeAll', commands: 2 },
];
const CASES = OPERATIONS.flatMap(({ operation, commands }) =>
  POINTS.flatMap((when) => Array.from({ length: commands }, (_, i) => ({ operation, when, nth: i + 1 }))),
);

describe('kill -9', () => {
  it.each(CASES)(
    '$when command $nth of $operation: the next start leaves nothing behind',
    async ({ operation, when, nth }) => {
      crash(operation, when, nth);
      // Those that waited for a script end with their owner.
      await vi.waitFor(() => expect(programs()).toEqual([]));
      const executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: ['up0'] });
      // The tenant was never recorded, or is not any more; the bystander is.
      await executor.reconcile({ tenants: [bystander] });
      expect(await executor.verify()).toEqual([]);
      expect(linkNames(/^br-tenant-|^tn\d+i/).toSorted()).toEqual(['br-tenant-9', 'tn9i3']);
      expect(sh('nft', 'list', 'ruleset')).not.toContain(net.bridge_name);
      await executor.removeAll();
      await executor.close();
      expect(hostState()).toBe(bare);
    },
  );
});
