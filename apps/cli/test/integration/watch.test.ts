import { CodedError } from '@mvm/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { status } from './model-data.js';
import { onTerminal } from './on-terminal.js';
import { runMvm, startMvm } from './run-mvm.js';

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

/** How often the list was asked for. */
const asked = (): number => agentd.calls.filter(({ route }) => route === 'listInstances').length;

function stopAll(): void {
  agentd.instances = agentd.instances.map((instance) => ({ ...instance, status: 'stopped' }));
}

describe('--watch', () => {
  it('of instances prints the list, again only once something has changed, and ends with 130', async () => {
    const running = startMvm(['instance', 'list', 'globex', '--watch'], { socket: agentd.socketPath });
    await running.sawOutput('running');
    await expect.poll(asked, { timeout: 30_000 }).toBeGreaterThan(2);
    stopAll();
    await running.sawOutput('stopped');
    running.child.kill('SIGINT');
    const { code, stdout } = await running.finished;
    expect(code).toBe(130);
    expect(stdout.split('\n').filter((line) => line.startsWith('INSTANCE'))).toHaveLength(2);
    expect(stdout.split('\n').filter((line) => line.startsWith('globex/'))).toMatchObject([
      expect.stringContaining('running'),
      expect.stringContaining('stopped'),
    ]);
  });

  it('prints one document per change for scripts', async () => {
    const running = startMvm(['ps', 'globex', '-w', '-o', 'json'], { socket: agentd.socketPath });
    await running.sawOutput('"running"');
    stopAll();
    await running.sawOutput('"status":"stopped"');
    running.child.kill('SIGINT');
    const { stdout } = await running.finished;
    const documents = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(documents).toMatchObject([
      { apiVersion: 'mvm/v1', kind: 'InstanceList', items: [{ status: 'running' }] },
      { apiVersion: 'mvm/v1', kind: 'InstanceList', items: [{ status: 'stopped' }] },
    ]);
  });

  it('goes on when agentd restarts, and says so', async () => {
    const running = startMvm(['ps', 'globex', '--watch'], { socket: agentd.socketPath });
    await running.sawOutput('running');
    const gone = { code: 'unavailable', reason: 'agentd.unreachable', message: 'agentd is gone' } as const;
    agentd.fail('listInstances', new CodedError(gone));
    const before = asked();
    await expect.poll(asked, { timeout: 30_000 }).toBeGreaterThan(before + 1);
    delete agentd.overrides.listInstances;
    stopAll();
    await running.sawOutput('stopped');
    running.child.kill('SIGINT');
    const { code, stderr } = await running.finished;
    expect({ code, stderr }).toEqual({
      code: 130,
      stderr: 'agentd is gone; waiting for it\nconnected again\ninterrupted\n',
    });
  });

  it('of the status follows it', async () => {
    agentd.statuses = [status({ converged: false, settled: false }), status()];
    const running = startMvm(['status', '--watch', '-o', 'yaml'], { socket: agentd.socketPath });
    await running.sawOutput('\nconverged: false');
    await running.sawOutput('\nconverged: true');
    running.child.kill('SIGTERM');
    const { stdout } = await running.finished;
    expect(stdout.split('\n').filter((line) => line === '---')).toHaveLength(2);
  });

  it('draws a terminal anew, without scrolling', async () => {
    const { output } = await onTerminal(['instance', 'list', 'globex', '--watch'], {
      socket: agentd.socketPath,
      answerTo: 'running',
      answer: '\u0003',
    });
    const [, ...screens] = output.replaceAll('\u001b[', 'ESC ').split('ESC H');
    expect(screens.length).toBeGreaterThan(0);
    expect(screens[0]).toMatch(/^INSTANCE .*ESC K\nglobex\/api\/i-00000001 .*ESC K\nESC J/);
  });

  it('ends with the error when agentd was never there, and refuses what it cannot print', async () => {
    const names = await runMvm(['instance', 'list', '--watch', '-o', 'name'], { socket: agentd.socketPath });
    expect(names).toMatchObject({ code: 2, stdout: '' });
    const socket = `${agentd.socketPath}.none`;
    expect((await runMvm(['instance', 'list', '--watch'], { socket })).code).toBe(6);
  });
});
