import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loggedMessages, reasonsInSources } from './sources.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const DAEMONS = ['apps/hostd/src', 'apps/agentd/src'];
const PACKAGES = [
  'agentd-api',
  'audit-log',
  'errors',
  'framing',
  'guest-boot',
  'hostd-client',
  'image-import',
  'image-store',
  'net-executor',
  'node-host',
  'protocol',
  'rootfs-builder',
  'secrets-store',
  'selftest',
  'settings',
  'unix-peer',
];
const SOURCES = [...DAEMONS, 'apps/cli/src', ...PACKAGES.map((name) => `packages/${name}/src`)];

/** Reasons that the sources put together out of parts, so that no literal names them. */
const COMPOSED = [
  /^(tenant|pool|instance)\.not_found$/,
  /^(tenant|pool)\.(unmanaged|pinned|critical)$/,
  /^instance\.manual_(stop|sleep|warm)$/,
  /^quota\.max_[a-z_]+$/,
  /^net\.(ip|nft|bridge|conntrack)_failed$/,
  // Of the contract, whose own test compares them (packages/protocol/test/contract/error-table.test.ts).
  /^protocol\.[a-z_]+$/,
  /^net\.(id|prefix|offset)_out_of_range$|^net\.(subnet_outside_cluster|gateway_mismatch|bridge_mismatch)$/,
];

/** @param {string} document @returns {string[][]} cells of every row of its tables, as written, headings left out */
function rows(document) {
  const lines = readFileSync(`${root}/docs/${document}`, 'utf8').split('\n');
  return lines
    .filter((line, index) => line.startsWith('| ') && !lines[index + 1]?.startsWith('|---'))
    .map((line) =>
      line
        .slice(1, -1)
        .split(' | ')
        .map((cell) => cell.trim()),
    );
}

/** @param {string | undefined} cell what it has in backticks @returns {string[]} */
const quoted = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);

/** Documents whose tables begin with reasons. */
const documented = new Map(
  ['errors.md', 'operations.md', 'audit.md']
    .flatMap((document) =>
      rows(document).flatMap(([reasons, code]) =>
        quoted(reasons)
          .filter((text) => /^[a-z_]+\.[a-z_]+$/.test(text))
          .map((reason) => /** @type {const} */ ([reason, document === 'errors.md' ? quoted(code) : []])),
      ),
    )
    .toReversed(),
);

describe('docs/operations.md', () => {
  const messages = new Set(rows('operations.md').flatMap(([first]) => quoted(first)));

  test('says what every message of the daemons means', () => {
    const logged = loggedMessages(DAEMONS);
    expect(logged.length).toBeGreaterThan(40);
    expect(logged.filter((message) => !messages.has(message))).toEqual([]);
  });

  test.each([
    ['packages/protocol/src/objects.ts', /instanceStatusSchema = z\.enum\(\[([^\]]+)\]/],
    ['packages/protocol/src/v2/views.ts', /kind: z\.enum\(\[('requested'[^\]]+)\]/],
  ])('says what every state in %s means', (file, pattern) => {
    const listed = pattern.exec(readFileSync(`${root}/${file}`, 'utf8'))?.[1] ?? '';
    const names = [...listed.matchAll(/'([a-z_]+)'/g)].map(([, name = '']) => name);
    expect(names.length).toBeGreaterThan(4);
    expect(names.filter((name) => !messages.has(name))).toEqual([]);
  });
});

describe('docs/errors.md, docs/operations.md and docs/audit.md', () => {
  const inSources = reasonsInSources(SOURCES);

  test('say what every reason means', () => {
    expect(inSources.size).toBeGreaterThan(200);
    expect([...inSources.keys()].filter((reason) => !documented.has(reason))).toEqual([]);
  });

  test('name no reason that there is not', () => {
    const unknown = [...documented.keys()].filter(
      (reason) => !inSources.has(reason) && !COMPOSED.some((pattern) => pattern.test(reason)),
    );
    expect(unknown).toEqual([]);
  });

  test('give each reason the code that stands beside it in the sources', () => {
    const wrong = [...documented].filter(([reason, codes]) => {
      const inCode = inSources.get(reason) ?? new Set();
      return codes.length > 0 && inCode.size > 0 && !codes.some((code) => inCode.has(code));
    });
    expect(wrong).toEqual([]);
  });
});
