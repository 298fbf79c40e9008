/**
 * Programs in a guest through agentd and hostd, against the same agent asked directly over its socket. Both sides take
 * turns in one run, on the same guest.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { openGuestSession } from '@mvm/agentd-api';
import { until } from '@mvm/testkit';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import type { InstanceRecord } from '../src/state/records.js';
import { agentSocketPath } from '../src/vmm/qemu/argv.js';
import { ensureTenantAndPool } from '../test/tenants.js';
import { busyboxLayer, consoleSays, createImportHost, importOwn } from '../test/vm/imported-host.js';
import { instanceFile } from '../test/vm/vm-host.js';
import { connectDirectly, type DirectAgent } from './direct-agent.js';
import { msFigures, quantile, ratioFigures, writeReport } from './report.js';

/** MVM_BENCH_ROUNDS: how often each side has its turn. */
const ROUNDS = Number(process.env.MVM_BENCH_ROUNDS ?? '4');
const CALLS_PER_ROUND = 25;
/** MVM_BENCH_MIB: what goes through each side, in all rounds together. */
const MIB = Number(process.env.MVM_BENCH_MIB ?? '256');
const MVM = fileURLToPath(new URL('../../cli/bin/mvm.js', import.meta.url));
const address = { tenant_id: 'bench', pool_id: 'workers', instance_id: 'i-bench' };

it('runs programs in a guest', async () => {
  const host = await createImportHost();
  try {
    await host.start();
    const client = host.client();
    await importOwn(host, 'app', {
      layers: [busyboxLayer()],
      config: { Cmd: ['/bin/sleep', '100000'], Env: ['PATH=/bin'] },
    });
    await ensureTenantAndPool(client, address.tenant_id, 3, {
      spec: { flake_ref: 'app', instance_resources: { vcpus: 1, mem_mib: 192, data_disk_mib: 0 } },
    });
    await client.request({ type: 'CreateInstance', ...address });
    await client.request({ type: 'StartInstance', ...address });
    await consoleSays(client, address, /mvm-guest ready/);
    await host.agentd.start([], { asRoot: true });
    const { vm }: InstanceRecord = JSON.parse(
      await readFile(instanceFile(host, address, 'instance.json'), 'utf8'),
    );
    if (vm == null) throw new Error('the record does not say how the VM was launched');
    const socket = agentSocketPath(vm.spec);

    const through = async (args: readonly string[]): Promise<number> => {
      let bytes = 0;
      const session = await openGuestSession({
        socketPath: host.agentd.socketPath,
        address: {
          tenantId: address.tenant_id,
          poolId: address.pool_id,
          instanceId: address.instance_id,
        },
        open: { kind: 'exec', args: [...args] },
        handlers: {
          data: (_channel, piece) => {
            bytes += piece.length;
          },
        },
      });
      expect(await session.ended).toEqual({ code: 0 });
      return bytes;
    };
    /** hostd leaves the agent's socket a second after its last stream; it has one caller at a time. */
    const directly = async <T>(work: (agent: DirectAgent) => Promise<T>): Promise<T> => {
      const agent = await until('the agent', () => connectDirectly(socket).catch(() => null), 20_000);
      try {
        return await work(agent);
      } finally {
        agent.close();
      }
    };
    const timed = async (work: () => Promise<unknown>): Promise<number> => {
      const began = performance.now();
      await work();
      return performance.now() - began;
    };

    const calls = {
      through: [] as number[],
      direct: [] as number[],
      whole: [] as number[],
      node: [] as number[],
    };
    const rates = { through: [] as number[], direct: [] as number[] };
    const pieceMib = Math.max(1, Math.round(MIB / ROUNDS));
    const flood = ['head', '-c', String(pieceMib * 1_048_576), '/dev/zero'];
    const rate = async (run: (args: readonly string[]) => Promise<number>): Promise<number> => {
      let bytes = 0;
      const ms = await timed(async () => {
        bytes = await run(flood);
      });
      expect(bytes).toBe(pieceMib * 1_048_576);
      return pieceMib / (ms / 1000);
    };
    // The first round only warms up.
    for (let round = -1; round < ROUNDS; round += 1) {
      const one = {
        through: [] as number[],
        direct: [] as number[],
        whole: [] as number[],
        node: [] as number[],
      };
      for (let call = 0; call < CALLS_PER_ROUND; call += 1)
        one.through.push(await timed(() => through(['true'])));
      for (let call = 0; call < 3; call += 1) {
        const name = `${address.tenant_id}/${address.pool_id}/${address.instance_id}`;
        const env = { MVM_SOCKET: host.agentd.socketPath };
        one.whole.push(await timed(() => execa(process.execPath, [MVM, 'exec', name, 'true'], { env })));
        one.node.push(await timed(() => execa(process.execPath, ['-e', '0'])));
      }
      const throughRate = round < 0 ? 0 : await rate(through);
      await directly(async (agent) => {
        for (let call = 0; call < CALLS_PER_ROUND; call += 1)
          one.direct.push(await timed(() => agent.exec(['true'])));
        if (round >= 0) rates.direct.push(await rate(agent.exec));
      });
      if (round < 0) continue;
      rates.through.push(throughRate);
      for (const side of ['through', 'direct', 'whole', 'node'] as const) calls[side].push(...one[side]);
    }
    const own = calls.through.map((ms, at) => ms - (calls.direct[at] ?? Number.NaN));
    const own50 = quantile(calls.through, 0.5) - quantile(calls.direct, 0.5);
    expect(own).toHaveLength(ROUNDS * CALLS_PER_ROUND);
    await writeReport('workloads-exec', {
      title: 'Programs in a guest',
      method: `${ROUNDS} interleaved rounds of ${CALLS_PER_ROUND} calls: \`true\` and ${pieceMib} MiB of output in a guest of an imported image, through agentd and hostd by the client library that \`mvm exec\` uses, and by a script that speaks the frames on the agent’s own socket, checks nothing and gives all credit at once (the bare pipe). \`mvm exec\` as a process, and an empty Node.js process, are for comparison. TCG, 1 vCPU, 192 MiB.`,
      figures: [
        ...ratioFigures(
          'Round trip of true, through agentd and hostd against directly',
          calls.through,
          calls.direct,
          {
            max: 1.3,
          },
        ),
        { name: 'of which our own, p50', value: Number(own50.toFixed(1)), unit: 'ms' },
        ...msFigures('through agentd and hostd', calls.through),
        ...msFigures('directly', calls.direct),
        ...msFigures('mvm exec, the whole process', calls.whole),
        ...msFigures('an empty Node.js process', calls.node),
        {
          name: 'Output, through agentd and hostd against the bare pipe',
          value: Number((quantile(rates.through, 0.5) / quantile(rates.direct, 0.5)).toFixed(3)),
          unit: '×',
          target: { min: 0.5 },
        },
        {
          name: 'through agentd and hostd',
          value: Number(quantile(rates.through, 0.5).toFixed(1)),
          unit: 'MiB/s',
        },
        { name: 'the bare pipe', value: Number(quantile(rates.direct, 0.5).toFixed(1)), unit: 'MiB/s' },
      ],
    });
  } finally {
    await host.dispose();
  }
});
