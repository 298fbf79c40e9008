import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { CodedError } from '@mvm/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { onTerminal } from './on-terminal.js';
import { runMvm, startMvm } from './run-mvm.js';

const BIN = fileURLToPath(new URL('../../bin/mvm.js', import.meta.url));
const ADDRESS = 'acme/web/i-00000001';

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

const mvm = (...args: string[]) => runMvm(args, { socket: agentd.socketPath });

describe('mvm instance logs', () => {
  it('prints the whole log, in pieces, byte for byte into a pipe', async () => {
    agentd.log = Buffer.from(randomBytes(500_000).toString('base64'));
    const { code, stdout } = await mvm('instance', 'logs', ADDRESS);
    expect(code).toBe(0);
    expect(stdout).toBe(agentd.log.toString());
    expect(agentd.calls.length).toBeGreaterThan(2);
  });

  it('prints the last lines', async () => {
    agentd.log = Buffer.from('one\ntwo\nthree\n');
    expect((await mvm('instance', 'logs', '-n', '2', ADDRESS)).stdout).toBe('two\nthree\n');
    expect((await mvm('instance', 'logs', '--tail', '0', ADDRESS)).stdout).toBe('');
    expect((await mvm('instance', 'logs', '--stream', 'vmm', '-n', '1', ADDRESS)).stdout).toBe('three\n');
    expect(agentd.calls.at(-1)?.query.stream).toBe('vmm');
  });

  it('prints as many of the last lines as were asked for, however many answers that takes', async () => {
    const lines = Array.from({ length: 60_000 }, (_, index) => `${index} ${'z'.repeat(index % 17)}\n`);
    agentd.log = Buffer.from(lines.join(''));
    const { stdout } = await mvm('logs', '-n', '50000', ADDRESS);
    expect(stdout).toBe(lines.slice(-50_000).join(''));
  });

  it('takes control sequences out, in a pipe and on a terminal, unless every byte is asked for', async () => {
    agentd.log = Buffer.from('\u001b[31mred\u001b[0m\r\n\u001b]0;title\u0007end\n');
    expect((await mvm('instance', 'logs', ADDRESS)).stdout).toBe('red\nend\n');
    expect((await mvm('instance', 'logs', '--raw', ADDRESS)).stdout).toBe(agentd.log.toString());
    expect(await shownOnTerminal('instance', 'logs', ADDRESS)).toBe('red\nend\n');
    expect(await shownOnTerminal('instance', 'logs', '--raw', ADDRESS)).toBe(
      agentd.log.toString().replaceAll('\r\n', '\n'),
    );
  });

  it('follows, survives a restart of the daemon, and ends with the instance', async () => {
    agentd.log = Buffer.from('booting\n');
    const running = startMvm(['instance', 'logs', '-f', ADDRESS], { socket: agentd.socketPath });
    await running.sawOutput('booting\n');
    agentd.log = Buffer.concat([agentd.log, Buffer.from('ready\n')]);
    await running.sawOutput('ready\n');
    let failures = 0;
    const answer = agentd.overrides.getInstanceLogs;
    agentd.overrides.getInstanceLogs = () => {
      failures += 1;
      if (answer === undefined) delete agentd.overrides.getInstanceLogs;
      throw new CodedError({ code: 'unavailable', reason: 'hostd.unreachable', message: 'no hostd' });
    };
    agentd.log = Buffer.concat([agentd.log, Buffer.from('after the restart\n')]);
    await running.sawOutput('after the restart\n');
    expect(failures).toBe(1);
    agentd.instances = agentd.instances.map((each) => ({ ...each, status: 'stopped' }));
    const { code, stdout, stderr } = await running.finished;
    expect(code).toBe(0);
    expect(stdout).toBe('booting\nready\nafter the restart\n');
    expect(stderr).toBe(`(connection lost, trying again)\n${ADDRESS} is stopped\n`);
  });

  it('ends with 130 on Ctrl-C while it follows', async () => {
    agentd.log = Buffer.from('booting\n');
    const running = startMvm(['instance', 'logs', '-f', ADDRESS], { socket: agentd.socketPath });
    await running.sawOutput('booting\n');
    running.child.kill('SIGINT');
    expect(await running.finished).toMatchObject({ code: 130, stdout: 'booting\n' });
  });

  it('says so when there is no such instance', async () => {
    expect(await mvm('instance', 'logs', 'acme/web/i-none')).toMatchObject({ code: 3, stdout: '' });
  });

  it('is quiet when its reader goes away', async () => {
    agentd.log = Buffer.from('line\n'.repeat(200_000));
    // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's, not ours.
    const script = '"$0" "$1" instance logs "$2" | head -n 1; echo "${PIPESTATUS[0]}"';
    const { stdout, stderr } = await shell('bash', ['--norc', '-c', script, process.execPath, BIN, ADDRESS]);
    expect({ stdout, stderr }).toEqual({ stdout: 'line\n0\n', stderr: '' });
  });
});

async function shownOnTerminal(...args: string[]): Promise<string> {
  return (await onTerminal(args, { socket: agentd.socketPath })).output;
}

function shell(program: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const env = { PATH: process.env.PATH, MVM_SOCKET: agentd.socketPath, TERM: 'xterm', NO_COLOR: '1' };
  return new Promise((resolve, reject) => {
    const child = execFile(program, [...args], { env, timeout: 30_000 }, (error, stdout, stderr) => {
      if (error !== null) reject(error);
      else resolve({ stdout, stderr });
    });
    child.stdin?.end();
  });
}
