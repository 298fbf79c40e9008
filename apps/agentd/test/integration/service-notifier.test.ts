import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createServiceNotifier } from '../../src/start/service-notifier.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-notify-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** A systemd-notify that writes down what it was asked to send. The real one is tested in the systemd tier. */
async function install(script: string): Promise<void> {
  await writeFile(join(dir, 'systemd-notify'), `#!/bin/sh\n${script}\n`);
  await chmod(join(dir, 'systemd-notify'), 0o755);
}
const RECORD = 'printf "%s %s\\n" "$NOTIFY_SOCKET" "$*" >>"$(dirname "$0")/sent"';
const sent = (): Promise<string[]> =>
  readFile(join(dir, 'sent'), 'utf8').then(
    (text) => text.trimEnd().split('\n'),
    () => [],
  );

describe('the service notifier', () => {
  it('sends what it is given to the manager', async () => {
    await install(RECORD);
    const problems: string[] = [];
    const environment = { PATH: `${dir}:${process.env.PATH}`, NOTIFY_SOCKET: '/run/x' };
    await createServiceNotifier(environment, (problem) => problems.push(problem)).notify(
      'READY=1',
      'STATUS=ok',
    );
    expect(await sent()).toEqual(['/run/x READY=1 STATUS=ok']);
    expect(problems).toEqual([]);
  });

  it('sends WATCHDOG=1 again and again until it is stopped, when it is watched', async () => {
    await install(RECORD);
    const environment = {
      PATH: `${dir}:${process.env.PATH}`,
      NOTIFY_SOCKET: '/run/x',
      WATCHDOG_USEC: '40000',
    };
    const notifier = createServiceNotifier(environment, () => {});
    notifier.startWatchdog();
    while ((await sent()).length < 3) await sleep(10);
    notifier.stopWatchdog();
    expect(new Set(await sent())).toEqual(new Set(['/run/x WATCHDOG=1']));
  });

  it('runs nothing without a manager, and no watchdog when it is not watched', async () => {
    await install(RECORD);
    const PATH = `${dir}:${process.env.PATH}`;
    const alone = createServiceNotifier({ PATH, WATCHDOG_USEC: '20000' }, () => {});
    await alone.notify('READY=1');
    alone.startWatchdog();
    const other = createServiceNotifier(
      { PATH, NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' },
      () => {},
    );
    other.startWatchdog();
    await sleep(100);
    alone.stopWatchdog();
    other.stopWatchdog();
    expect(await sent()).toEqual([]);
  });

  it('reports a message that was not sent, and goes on', async () => {
    const problems: string[] = [];
    const notifier = createServiceNotifier({ PATH: dir, NOTIFY_SOCKET: '/run/x' }, (problem) =>
      problems.push(problem),
    );
    await notifier.notify('READY=1');
    await install('echo refused >&2; exit 1');
    await createServiceNotifier({ PATH: `${dir}:${process.env.PATH}`, NOTIFY_SOCKET: '/run/x' }, (problem) =>
      problems.push(problem),
    ).notify('READY=1');
    expect(problems).toEqual([expect.stringContaining('ENOENT'), 'refused']);
  });
});
