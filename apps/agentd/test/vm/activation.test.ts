import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Why } from '@mvm/agentd-api';
import { encodeFrame, readFrame } from '@mvm/framing';
import type { InstanceView } from '@mvm/protocol';
import { type RunningDaemon, registerDemoImage, until } from '@mvm/testkit';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { greetingOf } from '../harness/guest-console.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

// A real guest behind a published port, and clients beyond the host's uplink. The guest sleeps; what they see is said in
// each test. The port answers with the guest's host name.

const VM_TIMEOUT_MS = 150_000;
const HOST = '198.51.100.1';
const PORT = 8080;
const GUEST_PORT = 8030;

let host: Host;
let agentd: AgentdPlace;
let hostd: RunningDaemon;

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

function wanted(running: number) {
  const pool = desiredPool('workers', {
    running,
    instance_resources: { vcpus: 1, mem_mib: 192, data_disk_mib: 0 },
    network_policy: { publish: [{ protocol: 'tcp', host_port: PORT, guest_port: GUEST_PORT }] },
    // Nothing falls asleep by itself here: the tests do it.
    sleep_policy: { warm_threshold_secs: null, sleep_threshold_secs: null },
  });
  return desiredState([desiredTenant('acme', 3, [pool])]);
}

async function only(): Promise<InstanceView> {
  const [view] = (await agentd.client.listInstances()).instances;
  if (view === undefined) throw new Error('there is no instance');
  return view;
}

const paramsOf = ({ instance_id }: InstanceView) => ({
  tenant: 'acme',
  pool: 'workers',
  instance: instance_id,
});

/** Asleep, and not held by an operator. */
async function fallAsleep(): Promise<InstanceView> {
  const params = paramsOf(await only());
  await agentd.client.sleepInstance({ params, query: { hold_seconds: 0 }, body: { force: true } });
  await statusWhen(agentd.client, ({ converged, holds }) => converged && holds.length === 0);
  const view = await only();
  expect(view.status).toBe('sleeping');
  return view;
}

/** What a client beyond the uplink reads from the port until its end; null when it was refused. */
async function fetch(): Promise<string | null> {
  const args = ['netns', 'exec', 'client', 'busybox', 'nc', '-w', '60', HOST, String(PORT)];
  const child = spawn('ip', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (data: string) => {
    text += data;
  });
  await once(child, 'close');
  return text.trim() === '' ? null : text.trim();
}

const wakes = (answer: Why) => answer.decisions.filter(({ source }) => source === 'connection');

async function whyOf(): Promise<Why> {
  return agentd.client.whyInstance({ params: paramsOf(await only()) });
}

/** Runs a script in the guest through its agent. */
async function inGuest(view: InstanceView, script: string): Promise<void> {
  const socket = connect(join(host.dir, 'r', 'vm', view.net?.tap_dev ?? '', 'agent.sock'));
  try {
    const exec = { Exec: { script_base64: Buffer.from(script).toString('base64'), timeout_secs: 20 } };
    for (const request of [{ Sync: { token: 'activation' } }, exec]) {
      socket.write(encodeFrame(Buffer.from(JSON.stringify(request))));
    }
    for (;;) {
      const frame = await readFrame(socket, { signal: AbortSignal.timeout(60_000) });
      if (frame === null) throw new Error('the channel was closed');
      const answer = JSON.parse(Buffer.from(frame).toString());
      if (answer.ExecResult === undefined) continue;
      expect(answer.ExecResult.status).toBe(0);
      return;
    }
  } finally {
    socket.destroy();
  }
}

beforeAll(async () => {
  // Before there is a default route.
  host = await createHost({ group: 'nogroup' });
  agentd = host.agentd;
  ip('netns', 'add', 'client');
  ip('link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'client');
  ip('address', 'add', `${HOST}/24`, 'dev', 'up0');
  ip('link', 'set', 'up0', 'up');
  ip('-n', 'client', 'address', 'add', '198.51.100.2/24', 'dev', 'eth0');
  ip('-n', 'client', 'link', 'set', 'eth0', 'up');
  ip('route', 'add', 'default', 'via', '198.51.100.2');
  hostd = await host.start();
  await registerDemoImage(host.stateDir, 'test');
  await agentd.start(['--retry-delay', '2s']);
  await agentd.client.putDesired({ body: wanted(1) });
  await statusWhen(agentd.client, ({ converged }) => converged, VM_TIMEOUT_MS);
  const view = await only();
  await greetingOf(agentd.client, view);
  await inGuest(view, `hostname sleeper; nc -ll -p ${GUEST_PORT} -e hostname >/dev/null 2>&1 </dev/null &`);
}, VM_TIMEOUT_MS);

afterAll(async () => {
  await host.dispose();
  ip('link', 'del', 'up0');
  ip('netns', 'del', 'client');
}, VM_TIMEOUT_MS);

it('a guest that runs is reached directly, not through agentd', async () => {
  expect(await until('an answer', fetch)).toBe('sleeper');
  expect(wakes(await whyOf())).toEqual([]);
}, 60_000);

it('a connection to a sleeping guest wakes it and is answered; "why" says so; the next goes directly', async () => {
  await fallAsleep();
  expect(await fetch()).toBe('sleeper');
  expect((await only()).status).toBe('running');
  expect(wakes(await whyOf())).toMatchObject([
    {
      action: 'wake',
      request: 'WakeInstance',
      error: null,
      reason: expect.stringMatching(/^a connection to TCP port 8080 from 198\.51\.100\.2:\d+, and no /),
      audit: { operation: 'wake', result: 'ok' },
    },
  ]);
  expect(await fetch()).toBe('sleeper');
  expect(wakes(await whyOf())).toHaveLength(1);
}, 90_000);

it('twenty clients at once cause one wake, and each is answered', async () => {
  const before = wakes(await whyOf()).length;
  await fallAsleep();
  const answers = await Promise.all(Array.from({ length: 20 }, fetch));
  expect(answers).toEqual(Array(20).fill('sleeper'));
  const all = wakes(await whyOf());
  expect(all).toHaveLength(before + 1);
  expect(all[0]?.reason).toMatch(/and \d+ more, and no instance/);
}, 120_000);

it('hostd killed during the wake: the client is answered once hostd is there again', async () => {
  await fallAsleep();
  const answer = fetch();
  await until('the wake', async () => {
    const view = await only();
    // On a quick host it may be over before it is seen.
    return view.operation === 'wake' || view.status === 'running';
  });
  await hostd.kill();
  hostd = await host.start();
  expect(await answer).toBe('sleeper');
  expect((await only()).status).toBe('running');
}, 120_000);

it('what an operator put to sleep stays asleep, and the client sees the end at once', async () => {
  const params = paramsOf(await only());
  await agentd.client.sleepInstance({ params, query: { hold_seconds: 600 }, body: { force: true } });
  expect(await fetch()).toBeNull();
  expect((await only()).status).toBe('sleeping');
  await agentd.client.wakeInstance({ params, query: { hold_seconds: 0 } });
  expect(await fetch()).toBe('sleeper');
}, 90_000);

it('a wake that fails ends the connection, and "why" says why', async () => {
  const view = await fallAsleep();
  const snapshot = join(
    ...[host.dir, 's', 'tenants', 'acme', 'pools', 'workers', 'instances', view.instance_id],
    ...['snapshots', 'delta'],
  );
  const files = await readdir(snapshot);
  const memory = files.find((name) => name !== 'meta.json');
  await appendFile(join(snapshot, memory ?? ''), 'not what was written');
  expect(await fetch()).toBeNull();
  const params = paramsOf(view);
  const [last] = wakes(await agentd.client.whyInstance({ params }));
  expect(last).toMatchObject({ action: 'wake', request: 'WakeInstance' });
  expect(last?.error?.reason).toMatch(/^snapshot\./);
}, 120_000);
