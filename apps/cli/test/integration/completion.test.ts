import { execFile } from 'node:child_process';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { runMvm } from './run-mvm.js';

const BIN_DIR = fileURLToPath(new URL('../../bin', import.meta.url));

// biome-ignore lint/suspicious/noTemplateCurlyInString: bash's, not ours.
const PRINT_REPLY = 'printf "%s\\n" "${COMPREPLY[@]}"';

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

const complete = async (...words: string[]) =>
  (await runMvm(['__complete', ...words], { socket: agentd.socketPath })).stdout.split('\n').slice(0, -1);

describe('mvm __complete', () => {
  it('offers names that there are, with their state', async () => {
    expect(await complete('instance', 'stop', '')).toEqual([
      'acme/web/i-00000001\trunning',
      'acme/web/i-00000002\tstopped',
      'globex/api/i-00000001\trunning',
    ]);
    expect(await complete('instance', 'info', 'glob')).toEqual(['globex/api/i-00000001\trunning']);
    expect(await complete('instance', 'list', '')).toEqual(
      expect.arrayContaining(['acme\ttenant', 'acme/web\tworker']),
    );
    expect(await complete('tenant', 'info', 'a')).toEqual(['acme\t10.240.3.0/24']);
    expect(await complete('image', 'remove', '')).toEqual(['demo']);
  });

  it('offers options even though they look like its own', async () => {
    expect(await complete('instance', 'logs', '--st')).toEqual([expect.stringMatching(/^--stream\t/)]);
    expect(await complete('-o', 'j')).toEqual(['json']);
    expect(await complete('--he')).toEqual([expect.stringMatching(/^--help\t/)]);
  });

  it('is silent when no daemon answers', async () => {
    const { code, stdout, stderr } = await runMvm(['__complete', 'tenant', 'info', ''], {
      socket: '/nonexistent',
    });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});

it('bash completes with the script', async () => {
  const script = [
    `mvm() { '${process.execPath}' '${BIN_DIR}/mvm.js' "$@"; }`,
    'source <(mvm completion bash)',
    'COMP_WORDS=(mvm instance stop gl) COMP_CWORD=3',
    '_mvm_complete',
    PRINT_REPLY,
    'COMP_WORDS=(mvm inst) COMP_CWORD=1',
    '_mvm_complete',
    PRINT_REPLY,
    'complete -p mvm',
  ].join('\n');
  const { stdout, stderr } = await run('bash', ['--norc', '-c', script]);
  expect(stderr).toBe('');
  expect(stdout).toBe('globex/api/i-00000001\ninstance\ncomplete -F _mvm_complete mvm\n');
});

it.each([
  ['bash', ['-n']],
  ['zsh', ['-n']],
  ['fish', ['--no-execute']],
] as const)('the script for %s parses where that shell is installed', async (shell, check) => {
  const { stdout, code } = await runMvm(['completion', shell]);
  expect(code).toBe(0);
  expect(stdout).toContain('__complete');
  if (!(await isInstalled(shell))) return;
  const dir = await mkdtemp(join(tmpdir(), `mvm-completion-${process.pid}-`));
  try {
    await writeFile(join(dir, 'script'), stdout);
    expect((await run(shell, [...check, join(dir, 'script')])).stderr).toBe('');
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

async function isInstalled(program: string): Promise<boolean> {
  const dirs = (process.env.PATH ?? '').split(':');
  const found = await Promise.all(
    dirs.map((dir) =>
      access(`${dir}/${program}`).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}

function run(program: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const env = { PATH: process.env.PATH, MVM_SOCKET: agentd.socketPath };
  return new Promise((resolve, reject) => {
    const child = execFile(program, [...args], { env, timeout: 30_000 }, (error, stdout, stderr) => {
      if (error !== null) reject(new Error(`${error.message}\n${stderr}`));
      else resolve({ stdout, stderr });
    });
    child.stdin?.end();
  });
}
