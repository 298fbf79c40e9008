import { once } from 'node:events';
import { access, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { type RunningDaemon, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { type Guest, guestOf } from './guest.js';
import { createVmHost, greeting, guestCount, instanceFile } from './vm-host.js';

// The agent is the tenant's, and may be anything. Whatever it sends, or does not: hostd sleeps and wakes the guest in
// bounded time, and holds no more of it than a frame.

let host: Host;
let hostd: RunningDaemon;
let client: HostdClient;
let guest: Guest;
let ip: string;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-wild' };
/** TCP port of the guest on which it ends its agent, and gets the reference agent back. */
const CALM_PORT = 5;
const ACK = '{"SleepPrepAck":{"success":true,"detail":null}}';

/** hostd, which ends where the file says, when there is one. */
const failpoint = (): string => join(host.dir, 'failpoint');
const start = (): Promise<RunningDaemon> => host.start({ env: { MVM_FAILPOINT: `@${failpoint()}` } });

beforeAll(async () => {
  host = await createVmHost('test');
  hostd = await start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
  const { net } = await client.request({ type: 'DescribeInstance', ...address });
  guest = guestOf(host, net?.tap_dev ?? '');
  ip = net?.guest_ip ?? '';
  await greeting(client, address);
  await guest.output(`cat >/run/calm <<'END'
#!/bin/sh
rm -f /run/agent
kill -9 -$(cat /run/agent.pid)
echo calm
END
    chmod +x /run/calm; nc -ll -p ${CALM_PORT} -e /run/calm >/dev/null 2>&1 </dev/null &`);
}, 240_000);
afterAll(() => host.dispose());

const console_ = async (): Promise<string> => {
  const { data_base64 } = await client.request({ type: 'InstanceLogs', ...address });
  return Buffer.from(data_base64, 'base64').toString();
};

/** Replaces the guest's agent by a shell program that finds the port open as descriptor 3, unless `first` closes it. */
async function behave(program: string, first = ''): Promise<void> {
  const mark = `wild ${program.length} ${Date.now()}`;
  await guest.output(`cat >/run/agent.new <<'END'
#!/bin/sh
for port in /sys/class/virtio-ports/*; do exec 3<>/dev/\${port##*/}; done
${first}
echo '${mark}' >/dev/console
${program}
END
    chmod +x /run/agent.new
    # Once this answer is out.
    { sleep 1; mv /run/agent.new /run/agent; kill -9 -$(cat /run/agent.pid); } >/dev/null 2>&1 </dev/null &`);
  await until('the other agent', async () => (await console_()).includes(mark), 60_000);
}

/** Ends it, by the network, and has the reference agent back. */
async function calm(): Promise<void> {
  const socket = connect(CALM_PORT, ip);
  socket.resume();
  await once(socket, 'close');
  await until(
    'the reference agent',
    () =>
      guest.output('true', 5).then(
        () => true,
        () => false,
      ),
    60_000,
  );
}

const sleep = (drain_timeout_secs: number): Promise<unknown> =>
  client.request(
    { type: 'SleepInstance', ...address, force: false, drain_timeout_secs },
    { timeoutMs: 60_000 },
  );
const wake = (): Promise<unknown> =>
  client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
/** The most memory that hostd ever had, MiB. */
async function peakMib(): Promise<number> {
  const status = await readFile(`/proc/${hostd.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** Asleep and awake once; what hostd logged meanwhile about the agent. */
async function oneNight(): Promise<string[]> {
  const from = hostd.logs().length;
  const counted = await guestCount(client, address);
  await sleep(2);
  await wake();
  await until('counting on', async () => (await guestCount(client, address)) > counted, 60_000);
  return [
    ...hostd
      .logs()
      .slice(from)
      .matchAll(/"msg":"(the guest[^"]*)"/g),
  ].map(([, text]) => text ?? '');
}

test('the control: a guest with the reference agent is drained, and told when it wakes', async () => {
  expect(await oneNight()).toEqual(['the guest is drained']);
});

test('a late answer is not taken for the next one: the first drain’s “no” comes when the second is asked', async () => {
  await guest.output(`cat >/run/sleep-prep <<'END'
#!/bin/sh
[ -e /run/asked ] && exit 0
>/run/asked
sleep 4
exit 1
END
    chmod +x /run/sleep-prep`);
  const from = hostd.logs().length;
  await sleep(1);
  await wake();
  await sleep(60);
  await wake();
  const log = hostd.logs().slice(from);
  expect(log).toContain('the guest did not drain in time');
  expect(log).toContain('"msg":"the guest is drained"');
  expect(log).not.toContain('the guest reported that it is not drained');
  await guest.output('rm /run/sleep-prep /run/asked');
});

const HEADER_64K = '\\000\\001\\000\\000';
test.each([
  ['never reads', 'exec sleep 100000'],
  ['announces a frame beyond all bounds', `while :; do printf '\\377\\377\\377\\377' >&3; done`],
  ['sends garbage without end', 'exec cat /dev/urandom >&3'],
  ['sends answers without end', `while :; do printf '\\000\\000\\000\\057%s' '${ACK}' >&3; done`],
  [
    'sends large frames without end',
    `{ printf '${HEADER_64K}'; head -c 65536 /dev/zero | tr '\\0' ' '; } >/run/frame; while :; do cat /run/frame >&3; done`,
  ],
])('a guest whose agent %s sleeps and wakes', async (_, program) => {
  const before = await peakMib();
  await behave(program);
  const messages = await oneNight();
  expect(messages.length).toBeGreaterThan(0);
  expect(messages).not.toContain('the guest is drained');
  expect((await peakMib()) - before).toBeLessThan(64);
  await calm();
});

test('a guest without an agent sleeps and wakes', async () => {
  await behave('exec sleep 100000', 'exec 3>&-');
  expect(await oneNight()).toEqual(['the guest has no agent to drain it']);
  await calm();
  expect(await oneNight()).toEqual(['the guest is drained']);
});

/** How often the guest has heard `Wake`, and its clock when it last did, seconds. */
async function awake(): Promise<{ times: number; clock: number }> {
  const found = [...(await console_()).matchAll(/mvm-guest awake time=(\d+)/g)];
  return { times: found.length, clock: Number(found.at(-1)?.[1]) };
}
const warm = (): Promise<unknown> => client.request({ type: 'WarmInstance', ...address });
const DOWN_MS = 4000;

test.each([
  ['while its guest gets ready', 'echo getting-ready >/dev/console; sleep 12', () => sleep(60), null],
  ['when its guest is paused for a sleep', 'exit 0', () => sleep(60), 'sleep/vm.pause/after'],
  ['when its guest is paused in memory', 'exit 0', warm, 'warm/vm.pause/after'],
])(
  'hostd is killed %s: it starts without delay, and notifies the guest that it was resumed, and of the time',
  async (_, prepare, ask, point) => {
    await guest.output(`printf '#!/bin/sh\\n%s\\n' '${prepare}' >/run/sleep-prep; chmod +x /run/sleep-prep`);
    const before = await awake();
    if (point !== null) await writeFile(failpoint(), point);
    const asked = ask().catch(() => 'failed');
    if (point === null) {
      await until('getting ready', async () => (await console_()).includes('getting-ready'), 60_000);
      await hostd.kill();
    }
    expect(await asked).toBe('failed');
    await new Promise((resolve) => setTimeout(resolve, DOWN_MS));
    hostd = await start();
    const restartedMs = Date.now();
    // It takes a guest that does not answer 5 seconds.
    const [, ms] = /"ms":([\d.]+),[^\n]*host is in line with the records/.exec(hostd.logs()) ?? [];
    expect(Number(ms)).toBeLessThan(4000);
    expect(await client.request({ type: 'DescribeInstance', ...address })).toMatchObject({
      status: 'running',
    });
    const heard = await until(
      'awake',
      async () => {
        const now = await awake();
        return now.times > before.times ? now : null;
      },
      90_000,
    );
    expect(heard.clock * 1000).toBeGreaterThan(restartedMs - 2000);
    const pending = instanceFile(host, address, 'wake-owed');
    await until('no notification pending', () =>
      access(pending).then(
        () => false,
        () => true,
      ),
    );
    await guest.output('rm /run/sleep-prep');
  },
);

test('a guest that was warm for a while is told the time when it goes on, also when hostd is killed meanwhile', async () => {
  await warm();
  await new Promise((resolve) => setTimeout(resolve, DOWN_MS));
  await writeFile(failpoint(), 'resume/guest.wake/before');
  const resume = (): Promise<unknown> => client.request({ type: 'ResumeInstance', ...address });
  await expect(resume()).rejects.toThrow();
  hostd = await start();
  expect(await client.request({ type: 'DescribeInstance', ...address })).toMatchObject({ status: 'warm' });
  const { times } = await awake();
  await resume();
  const heard = await until('awake', async () => {
    const now = await awake();
    return now.times > times ? now : null;
  });
  expect(Math.abs(heard.clock * 1000 - Date.now())).toBeLessThan(3000);
});
