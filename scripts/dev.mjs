/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * `pnpm dev`: rebuilds what a change touches, and restarts the daemons that use it. hostd and agentd run as in the
 * demo: in a network namespace and a temporary directory of their own, agentd as user `mvm`. VMs outlive a restart of
 * hostd. Without root only the rebuilding is done. Ctrl-C takes everything down.
 */
import { spawn } from 'node:child_process';
import { watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { daemonsUsing } from './dev/affected.mjs';
import { run } from './test/run.mjs';
import { listPackages } from './test/workspace.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const say = (/** @type {string} */ text) => console.log(`[dev] ${text}`);
const packages = listPackages(root);

say('building');
if ((await run(join(root, 'node_modules/typescript/bin/tsc'), ['-b', root], { cwd: root })) !== 0) {
  say('the build has errors; watching all the same');
}
await run('node', [join(root, 'packages/guest-boot/guest/build.mjs')], { cwd: root });

const session = process.getuid?.() === 0 ? await startSession() : null;
if (session === null) say('not root: only rebuilding (run as root to have the daemons restarted, too)');

/** Packages whose build output has changed since the daemons were last restarted. @type {Set<string>} */
const changed = new Set();
for (const { name, dir } of packages) {
  try {
    watch(join(dir, 'dist'), { recursive: true }, (_, file) => {
      if (file?.endsWith('.js')) changed.add(name);
    });
  } catch {
    // Not built yet: it had errors. It is watched from the next start on.
  }
}

const compiler = spawn(
  join(root, 'node_modules/typescript/bin/tsc'),
  ['-b', '--watch', '--preserveWatchOutput', root],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
/** One restart after the other. */
let restarting = Promise.resolve();
for await (const line of createInterface({ input: compiler.stdout, signal: onInterrupt() })) {
  if (line.trim() !== '') console.log(line);
  if (!/Found 0 errors/.test(line)) continue;
  // The last files' events may still be on their way when the compiler says that it is done.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const daemons = daemonsUsing(packages, changed);
  changed.clear();
  if (session !== null && daemons.length > 0) restarting = restarting.then(() => session.restart(daemons));
}
await restarting;
// The watchers above would keep the process alive.
process.exit(session === null ? 0 : await session.end());

async function startSession() {
  const built = './demo/dist/dev-session.js';
  /** @type {typeof import('./demo/src/dev-session.ts')} */
  const { createDevSession } = await import(built);
  return createDevSession(root, say);
}

/** Ends the loop above, and the compiler, at the first Ctrl-C. */
function onInterrupt() {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      compiler.kill();
      controller.abort();
    });
  }
  return controller.signal;
}
