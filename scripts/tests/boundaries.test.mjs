import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findViolations } from '../boundaries/scan.mjs';

/** @type {string} */
let root;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mvm-boundaries-'));
  for (const dir of [
    'packages/protocol',
    'packages/framing',
    'packages/net-executor',
    'packages/hostd-client',
    'apps/hostd',
    'apps/agentd',
    'apps/cli',
    'scripts/demo',
  ]) {
    plant(`${dir}/package.json`, JSON.stringify({ name: `@mvm/${dir.split('/')[1]}` }));
    plant(`${dir}/src/index.ts`, "export { a } from './a.js';\n");
  }
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** @param {string} path @param {string} text */
function plant(path, text) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

describe('import rules', () => {
  test('a workspace that follows them has no violation', () => {
    plant('packages/protocol/src/a.ts', "import { z } from 'zod';\nexport const a = z;\n");
    plant('packages/framing/src/a.ts', "import net from 'node:net';\nexport const a = net;\n");
    plant(
      'apps/hostd/src/a.ts',
      "import koffi from 'koffi';\nimport { x } from '@mvm/net-executor/execute';\nexport const a = [koffi, x];\n",
    );
    plant('apps/cli/src/a.ts', "import { x } from '@mvm/net-executor/observe';\nexport const a = x;\n");
    plant(
      'packages/protocol/src/a.test.ts',
      "import { readFileSync } from 'node:fs';\nimport { test } from 'vitest';\ntest('x', () => readFileSync);\n",
    );
    expect(findViolations(root)).toEqual({ files: 13, violations: [] });
  });

  test.each([
    ['packages/protocol/src/a.ts', "import fs from 'node:fs';", 'node:fs', /nothing but zod/],
    ['packages/protocol/src/a.ts', "const fs = await import('node:fs');", 'node:fs', /nothing but zod/],
    ['packages/protocol/src/a.ts', "export { x } from '@mvm/framing';", '@mvm/framing', /nothing but zod/],
    ['packages/framing/src/a.ts', "import { x } from '@mvm/protocol';", '@mvm/protocol', /no schema/],
    [
      'packages/hostd-client/src/a.ts',
      "import { x } from '@mvm/hostd';",
      '@mvm/hostd',
      /packages never import apps/,
    ],
    [
      'packages/hostd-client/test/integration/a.test.ts',
      "import { x } from '@mvm/cli/x';",
      '@mvm/cli/x',
      /packages never import apps/,
    ],
    ['apps/cli/src/a.ts', "import { x } from '@mvm/agentd';", '@mvm/agentd', /another app/],
    [
      'apps/agentd/src/a.ts',
      "import { x } from '@mvm/net-executor/execute';",
      '@mvm/net-executor/execute',
      /only hostd applies/,
    ],
    [
      'apps/cli/bin/a.js',
      "import '@mvm/net-executor/execute/x';",
      '@mvm/net-executor/execute/x',
      /only hostd applies/,
    ],
    [
      'packages/net-executor/src/plan/a.ts',
      "import { x } from '../execute/run.js';",
      '../execute/run.js',
      /never import execute/,
    ],
    ['apps/agentd/src/a.ts', "import koffi from 'koffi';", 'koffi', /native code/],
    ['apps/hostd/src/a.ts', "import http from 'node:http';", 'node:http', /never sends any/],
    ['apps/hostd/src/a.ts', "import { x } from '@mvm/hostd-client';", '@mvm/hostd-client', /never sends any/],
    [
      'apps/agentd/src/a.ts',
      "import { x } from '@mvm/image-store';",
      '@mvm/image-store',
      /images are for hostd/,
    ],
    ['apps/hostd/src/a.ts', "import { x } from '@mvm/testkit';", '@mvm/testkit', /test helpers/],
    [
      'apps/hostd/src/a.ts',
      "import { x } from '../../agentd/src/a.js';",
      '../../agentd/src/a.js',
      /stays inside/,
    ],
    ['packages/framing/src/index.ts', "export * from './a.js';", 'export *', /names what it exports/],
  ])('%s: %s is found', (path, line, specifier, why) => {
    plant(path, `${line}\n`);
    const { violations } = findViolations(root);
    expect(violations).toContainEqual({ file: path, specifier, why: expect.stringMatching(why) });
  });

  test('text in comments and strings is not an import', () => {
    plant(
      'packages/protocol/src/a.ts',
      "// import fs from 'node:fs'\nexport const a = \"import fs from 'node:fs'\";\n",
    );
    expect(findViolations(root).violations).toEqual([]);
  });
});
