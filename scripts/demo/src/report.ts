/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
import { readFileSync } from 'node:fs';
import pc from 'picocolors';
import type { DemoState } from './demo-state.js';
import type { Mvm } from './mvm.js';
import type { DemoPaths } from './paths.js';
import type { TakenDown } from './take-down.js';

/** A blank line and a title. */
export function heading(text: string): string {
  return `\n${pc.bold(text)}`;
}

/** Says whether the host is as before; resolves to the demo's exit status. */
export function printTakenDown(result: TakenDown): number {
  for (const problem of result.problems) console.log(pc.red(`  problem: ${problem}`));
  for (const { kind, change, item } of result.differences)
    console.log(pc.red(`  ${change} ${kind}: ${item}`));
  if (result.problems.length + result.differences.length > 0) {
    console.log(pc.red('  The host is NOT as it was before.'));
    return 1;
  }
  console.log(
    '  The host is as it was before: same interfaces, namespaces, nftables tables, routing rules, sysctls, cgroups,\n' +
      '  processes, mounts, files, users and groups.',
  );
  return 0;
}

/** What failed, with the daemons' last lines, which usually say why. */
export function printFailure(error: unknown, paths: DemoPaths): void {
  console.error(pc.red(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`));
  for (const [name, path] of [
    ['hostd', paths.hostdLog],
    ['agentd', paths.agentdLog],
  ] as const) {
    const lines = readLastLines(path, 10);
    if (lines !== '') console.error(pc.dim(`\nlast lines of ${name}:\n${lines}`));
  }
}

/** What to try next, and how to stop it. */
export function printKept(state: DemoState, mvm: Mvm, instance: string): void {
  const variables = Object.entries(mvm.env).map(([name, value]) => `${name}=${value}`);
  console.log(`${heading('It is still running. Try:')}
  export PATH="$PWD/node_modules/.bin:$PATH" ${variables.join(' ')}
  mvm instance list
  mvm instance logs ${instance}
  mvm instance sleep ${instance}
  mvm instance wake ${instance}
  mvm instance stop ${instance}
  mvm status
  mvm tenant info acme
  mvm doctor
  nsenter -t ${state.holder?.pid} -n ip -br addr      # the demo's own network
  kill -9 ${state.hostd?.pid}                         # hostd: its VMs run on
  npm run demo -- --start                             # starts again what has ended
  npm run demo -- --status
${heading('Stop it:')}
  npm run demo -- --stop`);
}

function readLastLines(path: string, count: number): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-count).join('\n');
  } catch {
    return '';
  }
}
