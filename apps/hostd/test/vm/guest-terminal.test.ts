import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { busyboxLayer, createImportHost, importOwn } from './imported-host.js';

// `mvm exec -it` on a real terminal: one of tmux, which has a size, signals and modes as any other.

const MVM = fileURLToPath(new URL('../../../cli/bin/mvm.js', import.meta.url));
const run = promisify(execFile);
let host: Host;
let hostd: Awaited<ReturnType<Host['start']>>;
let instance: string;
let asked = 0;
/** The modes of the terminal before anything ran on it. */
let modes: string;

beforeAll(async () => {
  host = await createImportHost();
  hostd = await host.start();
  await importOwn(host, 'app', {
    layers: [busyboxLayer()],
    config: { Cmd: ['/bin/sleep', '100000'], Env: ['PATH=/bin', 'PS1=guest> '] },
  });
  await host.agentd.start([], { asRoot: true });
  await tmux('new-session', '-d', '-x', '100', '-y', '30', 'env PS1="outer> " sh');
  const { stdout } = await run(
    process.execPath,
    [MVM, 'run', '--tenant', 'acme', '--name', 'web', '-d', 'app'],
    {
      env: { ...process.env, MVM_SOCKET: host.agentd.socketPath },
    },
  );
  instance = stdout.trim();
}, 240_000);
afterAll(async () => {
  await tmux('kill-server').catch(() => {});
  await host?.dispose();
});
beforeEach(async () => {
  asked += 1;
  await say(`clear; echo "cleared ${asked}"`);
  await shows(new RegExp(`^cleared ${asked}\\nouter> *$`, 'm'));
  modes = await modesNow();
});

async function tmux(...args: string[]): Promise<string> {
  const env = { PATH: process.env.PATH, LANG: 'C.UTF-8', MVM_SOCKET: host.agentd.socketPath };
  const { stdout } = await run('tmux', ['-S', join(host.dir, 'tmux'), '-f', '/dev/null', ...args], { env });
  return stdout;
}
/** Types a line. */
const say = (line: string): Promise<string> => tmux('send-keys', line, 'Enter');
const press = (...keys: string[]): Promise<string> => tmux('send-keys', ...keys);
/** What is on the screen, once it shows this. */
const shows = (wanted: RegExp): Promise<string> =>
  until(
    String(wanted),
    async () => {
      const screen = await tmux('capture-pane', '-p');
      return wanted.test(screen) ? screen : null;
    },
    60_000,
  ).catch(async (error: unknown) => {
    throw new Error(`the screen shows:\n${await tmux('capture-pane', '-p')}`, { cause: error });
  });
async function modesNow(): Promise<string> {
  asked += 1;
  await say(`echo "modes ${asked} $(stty -g | md5sum)"`);
  const screen = await shows(new RegExp(`^modes ${asked} [0-9a-f]+  -$`, 'm'));
  return new RegExp(`^modes ${asked} ([0-9a-f]+)  -$`, 'm').exec(screen)?.[1] ?? '';
}
async function enter(...command: string[]): Promise<void> {
  await say(`'${process.execPath}' '${MVM}' exec -it ${instance} -- ${command.join(' ')}; echo "ended $?"`);
  await shows(/^guest> *$/m);
}

test('a program knows the terminal’s size, and each new one', async () => {
  await enter('sh');
  await say('stty size');
  await shows(/^30 100$/m);
  await tmux('resize-window', '-x', '80', '-y', '20');
  await until('the new size', async () => {
    await say('stty size');
    return /^20 80$/m.test(await tmux('capture-pane', '-p'));
  });
  await say('exit 5');
  await shows(/^ended 5$/m);
  expect(await modesNow()).toBe(modes);
}, 120_000);

test('Ctrl-C interrupts the program in the guest, and not mvm', async () => {
  await enter('sh');
  await say('echo began; sleep 1000');
  await shows(/^began$/m);
  await press('C-c');
  await say('echo "after $?"');
  await shows(/^after 130$/m);
  await press('C-d');
  await shows(/^ended 130$|^ended 0$/m);
  expect(await modesNow()).toBe(modes);
}, 120_000);

test('the detach keys leave the program running, and give the terminal back as it was', async () => {
  await enter('sh');
  await say('(sleep 777 &) ; echo left');
  await shows(/^left$/m);
  await press('C-p', 'C-q');
  // The guest's prompt stays where it was.
  await shows(/^guest> ended 0$/m);
  expect(await modesNow()).toBe(modes);
  await enter('sh');
  await say('ps | grep -c "[s]leep 777"');
  await shows(/^1$/m);
  await say('exit');
  await shows(/^ended 0$/m);
}, 120_000);

test('a connection that is cut gives the terminal back as it was, and says so', async () => {
  await enter('sh');
  await hostd.kill();
  await shows(/^ended 125$/m);
  expect(await tmux('capture-pane', '-p')).toMatch(/guest_stream\.lost/);
  expect(await modesNow()).toBe(modes);
  hostd = await host.start();
  await enter('sh');
  await say('exit 3');
  await shows(/^ended 3$/m);
}, 120_000);
