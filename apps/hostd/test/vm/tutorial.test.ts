import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '@mvm/testkit/host';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createImportHost } from './imported-host.js';

// Runs the commands of docs/tutorial.md in order, in one shell, and compares what they print with what the page shows.
// Blocks `sh install` are for a real host and are left out. Blocks `sh client` run on a machine beyond the uplink.

const PAGE = fileURLToPath(new URL('../../../../docs/tutorial.md', import.meta.url));
const MVM = fileURLToPath(new URL('../../../cli/bin/mvm.js', import.meta.url));
/** What the page calls the host; its uplink here. */
const HOST_ADDRESS = '198.51.100.1';
let host: Host;

interface Step {
  readonly line: number;
  readonly script: string;
  readonly onClient: boolean;
  readonly shown: string | null;
}

beforeAll(async () => {
  host = await createImportHost();
  ip('netns', 'add', 'client');
  ip('link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'client');
  ip('address', 'add', `${HOST_ADDRESS}/24`, 'dev', 'up0');
  ip('link', 'set', 'up0', 'up');
  ip('-n', 'client', 'address', 'add', '198.51.100.2/24', 'dev', 'eth0');
  ip('-n', 'client', 'link', 'set', 'eth0', 'up');
  ip('route', 'add', 'default', 'via', '198.51.100.2');
  await host.start();
  await host.agentd.start(['--interval', '1s'], { asRoot: true });
}, 240_000);
afterAll(async () => {
  await host.dispose();
  ip('link', 'del', 'up0');
  ip('netns', 'del', 'client');
});

test('the commands of the tutorial do what the page shows', async () => {
  const steps = stepsOf(await readFile(PAGE, 'utf8'));
  expect(steps.length).toBeGreaterThan(15);
  const programs = join(host.dir, 'bin');
  const work = join(host.dir, 'work');
  await Promise.all([mkdir(programs), mkdir(work)]);
  await program(join(programs, 'mvm'), `exec '${process.execPath}' '${MVM}' "$@"`);
  await program(join(programs, 'sudo'), 'exec "$@"');
  const output = (index: number): string => join(host.dir, `${index}.out`);
  const parts = steps.map(({ script, onClient }, index) => {
    const run = onClient ? `ip netns exec client bash -e <<'CLIENT'\n${script}CLIENT` : script;
    return `exec >'${output(index)}' 2>&1\n${run}`;
  });
  const done = await execa('bash', ['-eu', '-c', parts.join('\n')], {
    cwd: work,
    reject: false,
    stdin: 'ignore',
    timeout: 540_000,
    env: {
      PATH: `${programs}${delimiter}${process.env.PATH}`,
      MVM_SOCKET: host.agentd.socketPath,
      MVM_STATE_DIR: host.stateDir,
    },
  });
  const printed = await Promise.all(
    steps.map((_, index) => readFile(output(index), 'utf8').catch(() => null)),
  );
  const at = printed.findLastIndex((text) => text !== null);
  const last = `line ${steps[at]?.line}: ${printed[at]}`;
  expect(done.exitCode, last).toBe(0);
  for (const [index, { line, shown }] of steps.entries()) {
    if (shown !== null) expect(stable(printed[index] ?? ''), `line ${line}`).toMatch(patternOf(shown));
  }
}, 600_000);

/** The blocks to run, each with the `text` block that follows it, if any. */
function stepsOf(page: string): Step[] {
  const steps: Step[] = [];
  for (const block of page.matchAll(
    /^```sh(?<kind> \w+)?\n(?<script>.*?)^```\n(?:\n```text\n(?<shown>.*?)^```\n)?/gms,
  )) {
    const { kind = '', script = '', shown = null } = block.groups ?? {};
    if (kind === ' install') continue;
    const line = page.slice(0, block.index).split('\n').length;
    steps.push({ line, script, onClient: kind === ' client', shown });
  }
  return steps;
}

/** Text without what differs from run to run: progress, ids, digests, times, sizes, widths of columns. */
function stable(text: string): string {
  return text
    .replaceAll(/^(applying|(putting to sleep|[a-z]+ing) \S+\/\S+)\n/gm, '')
    .replaceAll(/\bi-[0-9a-f]{8}\b/g, 'i-ID')
    .replaceAll(/\bsha256:[0-9a-f]+/g, 'DIGEST')
    .replaceAll(/\b\d+(\.\d+)? ?[KMG]iB\b/g, 'SIZE')
    .replaceAll(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'DATE')
    .replaceAll(/\b(\d+(\.\d+)? ?(ms|s|m|h))+\b/g, 'TIME')
    .replaceAll(/(?<= from [\d.]+:)\d+/g, 'PORT')
    .replaceAll(/(?<=\brevision )[0-9a-f]{12}\b/g, 'REVISION')
    .replaceAll(/[ \t]+/g, ' ')
    .trim();
}

/** `…` on the page stands for any lines, or none. */
function patternOf(shown: string): RegExp {
  const literal = stable(shown)
    .split(/…\n?/)
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${literal.join('.*')}$`, 's');
}

async function program(path: string, line: string): Promise<void> {
  await writeFile(path, `#!/bin/sh\n${line}\n`);
  await chmod(path, 0o755);
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
