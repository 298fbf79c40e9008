import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const planted = mkdtempSync(join(tmpdir(), 'mvm-boundaries-'));
afterAll(() => rmSync(planted, { recursive: true }));

/** @type {[string, string, RegExp][]} */
const violations = [
  ['packages/protocol/src/a.ts', "import fs from 'node:fs';", /nothing but zod/],
  ['packages/protocol/src/a.ts', "const fs = await import('node:fs');", /nothing but zod/],
  ['packages/protocol/src/a.ts', "export { x } from '@mvm/framing';", /nothing but zod/],
  ['packages/framing/src/a.ts', "import { x } from '@mvm/protocol';", /no schema/],
  ['packages/hostd-client/src/a.ts', "import { x } from '@mvm/hostd';", /package never imports an app/],
  [
    'packages/hostd-client/test/integration/a.test.ts',
    "import { x } from '@mvm/cli/x';",
    /package never imports an app/,
  ],
  ['apps/cli/src/a.ts', "import { x } from '@mvm/agentd';", /never another app/],
  ['apps/agentd/src/a.ts', "import { x } from '@mvm/net-executor/execute';", /Only hostd applies/],
  ['apps/cli/bin/a.js', "import '@mvm/net-executor/execute/x';", /Only hostd applies/],
  ['packages/net-executor/src/plan/a.ts', "import { x } from '../execute/run.js';", /never import execute/],
  ['apps/agentd/src/a.ts', "import koffi from 'koffi';", /native code/],
  ['apps/hostd/src/a.ts', "import http from 'node:http';", /never sends any/],
  ['apps/hostd/src/a.ts', "import { x } from '@mvm/hostd-client';", /never sends any/],
  ['apps/agentd/src/a.ts', "import { x } from '@mvm/image-store';", /images are for hostd/],
  ['apps/hostd/src/a.ts', "import { x } from '@mvm/testkit';", /test helpers/],
  ['packages/framing/src/index.ts', "export * from './a.js';", /noReExportAll/],
  ['packages/framing/src/d.ts', "import { x } from './e.js';\nexport const y = () => x;", /noImportCycles/],
];
const allowed = [
  [
    'packages/protocol/src/ok.ts',
    "import { z } from 'zod';\nimport { b } from './b.js';\nexport const a = [z, b];",
  ],
  [
    'packages/protocol/src/ok.test.ts',
    "import { readFileSync } from 'node:fs';\nexport const a = readFileSync;",
  ],
  ['packages/protocol/src/text.ts', "// import 'node:fs'\nexport const a = \"import 'node:fs'\";"],
  ['packages/framing/src/ok.ts', "import net from 'node:net';\nexport const a = net;"],
  ['packages/framing/src/e.ts', "export { y as x } from './d.js';"],
  ['packages/net-executor/src/execute/ok.ts', "import { x } from '../execute/run.js';\nexport const a = x;"],
  [
    'apps/hostd/src/ok.ts',
    "import { x } from '@mvm/net-executor/execute';\nimport koffi from 'koffi';\nexport const a = [koffi, x];",
  ],
  ['apps/cli/src/ok.ts', "import { x } from '@mvm/net-executor/observe';\nexport const a = x;"],
];

test('biome.json refuses what docs/architecture.md forbids, and nothing else', () => {
  const config = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'));
  writeFileSync(join(planted, 'biome.json'), JSON.stringify({ ...config, vcs: { enabled: false } }));
  /** Each file gets a name of its own, because several violations are in the same place. @type {Map<string, RegExp>} */
  const expected = new Map();
  for (const [index, [path, text, why]] of violations.entries()) {
    const file = /index\.ts|\/d\.ts/.test(path) ? path : path.replace(/a(?=\.(test\.)?[jt]s$)/, `a${index}`);
    expected.set(file, why);
    plant(file, text);
  }
  for (const [path = '', text = ''] of allowed) plant(path, text);

  const found = lint();
  const missing = [...expected].filter(([file, why]) => !why.test(found.get(file) ?? ''));
  expect(missing).toEqual([]);
  const unexpected = [...found].filter(
    ([file]) => !expected.has(file) && file !== 'packages/framing/src/e.ts',
  );
  expect(unexpected).toEqual([]);
});

/** @param {string} path @param {string} text */
function plant(path, text) {
  mkdirSync(dirname(join(planted, path)), { recursive: true });
  writeFileSync(join(planted, path), `${text}\n`);
}

/** What biome says about imports in each file. @returns {Map<string, string>} */
function lint() {
  const args = ['lint', '--reporter=github', '--max-diagnostics=none'];
  const rules = ['style/noRestrictedImports', 'suspicious/noImportCycles', 'performance/noReExportAll'];
  const biome = join(root, 'node_modules/.bin/biome');
  let output = '';
  try {
    output = execFileSync(biome, [...args, ...rules.map((rule) => `--only=${rule}`), '.'], {
      cwd: planted,
      encoding: 'utf8',
    });
  } catch (error) {
    output = /** @type {{ stdout: string }} */ (error).stdout;
  }
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const line of output.split('\n')) {
    const file = /file=([^,]+)/.exec(line)?.[1];
    if (file !== undefined)
      found.set(relative(planted, file), (found.get(relative(planted, file)) ?? '') + line);
  }
  return found;
}
