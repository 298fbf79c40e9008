import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  createNetworkExecutor,
  type NetworkExecutor,
  type NetworkWatchEvent,
} from '../../src/execute/index.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from '../support/desired.js';
import { enterTestHost, hostState, nft, sh } from '../support/host.js';

const net = tenantNet(3);
const port = instancePort(net, 5);

let executor: NetworkExecutor;
let bare: string;

/** The next event that a watch tells, and everything before it. */
function listen(): {
  events: NetworkWatchEvent[];
  next(): Promise<NetworkWatchEvent>;
  hear(e: NetworkWatchEvent): void;
} {
  const events: NetworkWatchEvent[] = [];
  let wake: (() => void) | null = null;
  return {
    events,
    hear(event) {
      events.push(event);
      wake?.();
    },
    async next() {
      if (events.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const event = events.shift();
      if (event === undefined) throw new Error('no event');
      return event;
    },
  };
}

function monitors(): string[] {
  const children = execFileSync('ps', ['--ppid', String(process.pid), '-o', 'pid=,args='], {
    encoding: 'utf8',
  });
  return children.split('\n').filter((line) => line.includes('nft monitor'));
}

beforeAll(() => {
  enterTestHost();
});

beforeEach(async () => {
  bare = hostState();
  executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
  await executor.reconcile({ tenants: [{ net, ports: [port] }] });
});

afterAll(async () => {
  expect(sh('nft', 'list', 'ruleset')).toBe('');
});

describe('watch', () => {
  it.each([
    ['the whole ruleset', 'flush ruleset\n'],
    ['one of our tables', 'delete table bridge mvm\n'],
    ['the rules of a chain', 'flush chain inet mvm from_guest\n'],
  ])('restores within a second when somebody removes %s', async (_, script) => {
    const before = hostState();
    const ears = listen();
    const watch = executor.watch(ears.hear);
    await watch.ready;
    // The child runs, but whether its socket listens already is not to be seen; the poll would find it in any case.
    await new Promise((done) => setTimeout(done, 200));
    const start = performance.now();
    nft(script);
    expect(await ears.next()).toMatchObject({ kind: 'restored', by: 'event' });
    expect(performance.now() - start).toBeLessThan(1000);
    expect(hostState()).toBe(before);
    await watch.close();
    expect(ears.events).toEqual([]);
    await executor.removeAll();
    expect(hostState()).toBe(bare);
  });

  it('listens again when its child is killed', async () => {
    const ears = listen();
    const watch = executor.watch(ears.hear);
    await watch.ready;
    process.kill(Number(monitors()[0]?.trim().split(' ')[0]), 'SIGKILL');
    expect(await ears.next()).toMatchObject({ kind: 'deaf' });
    nft('flush ruleset\n');
    expect(await ears.next()).toMatchObject({ kind: 'restored' });
    await watch.close();
    expect(monitors()).toEqual([]);
    await executor.removeAll();
    expect(hostState()).toBe(bare);
  });

  it('stays silent while only we change something, and ends its child when closed', async () => {
    const ears = listen();
    const watch = executor.watch(ears.hear);
    await watch.ready;
    await executor.detachPort(net, port);
    await executor.removeTenant(net);
    await executor.ensureTenant(net);
    expect(monitors()).toHaveLength(1);
    await executor.removeTenant(net);
    await executor.close();
    expect(monitors()).toEqual([]);
    expect(ears.events).toEqual([]);
    expect(hostState()).toBe(bare);
  });
});
