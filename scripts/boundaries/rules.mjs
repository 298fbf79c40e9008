/**
 * Who may import what; the reasons are in docs/architecture.md. A rule looks at one import of one file.
 */

/**
 * @typedef {object} SourceFile
 * @property {string} owner the package's folder, e.g. `packages/protocol`
 * @property {string} path inside the package, e.g. `src/index.ts`
 * @property {boolean} product false for tests, benchmarks and their helpers
 */

/**
 * @typedef {object} Rule
 * @property {string} why what the violation's line says
 * @property {(file: SourceFile) => boolean} covers
 * @property {(specifier: string, file: SourceFile) => boolean} forbids
 */

const APPS = ['@mvm/hostd', '@mvm/agentd', '@mvm/cli'];
const TEST_ONLY = [
  '@mvm/testkit',
  '@mvm/guest-image',
  '@mvm/demo',
  'vitest',
  'fast-check',
  'tinybench',
  'mitata',
];
// hostd never talks to a network; its only sockets are Unix sockets (node:net).
const NETWORK_MODULES = [
  'node:http',
  'node:https',
  'node:http2',
  'node:tls',
  'node:dgram',
  'node:dns',
  'undici',
  'fastify',
];

/** @type {Rule[]} */
export const RULES = [
  {
    why: '@mvm/protocol imports nothing but zod and @mvm/errors',
    covers: (file) => file.product && file.owner === 'packages/protocol',
    forbids: (specifier) => !isRelative(specifier) && !['zod', '@mvm/errors'].includes(specifier),
  },
  {
    why: '@mvm/framing knows no schema and no other package but @mvm/errors',
    covers: (file) => file.product && file.owner === 'packages/framing',
    forbids: (specifier) =>
      !isRelative(specifier) && !specifier.startsWith('node:') && specifier !== '@mvm/errors',
  },
  {
    why: '@mvm/errors imports nothing',
    covers: (file) => file.product && file.owner === 'packages/errors',
    forbids: (specifier) => !isRelative(specifier),
  },
  {
    why: 'packages never import apps',
    covers: (file) => file.owner.startsWith('packages/'),
    forbids: (specifier) => isOneOf(specifier, APPS),
  },
  {
    why: 'an app never imports another app',
    covers: (file) => file.owner.startsWith('apps/'),
    forbids: (specifier) => isOneOf(specifier, APPS),
  },
  {
    why: 'only hostd applies changes to the network (@mvm/net-executor/execute)',
    covers: (file) => file.product && file.owner !== 'apps/hostd',
    forbids: (specifier) => specifier.startsWith('@mvm/net-executor/execute'),
  },
  {
    why: 'the pure and the reading half of net-executor never import execute/',
    covers: (file) =>
      file.product && file.owner === 'packages/net-executor' && !file.path.startsWith('src/execute/'),
    forbids: (specifier) => isRelative(specifier) && /(^|\/)execute\//.test(specifier),
  },
  {
    why: 'only hostd may load native code (koffi)',
    covers: (file) => file.product && file.owner !== 'apps/hostd',
    forbids: (specifier) => isOneOf(specifier, ['koffi']),
  },
  {
    why: 'hostd answers requests and never sends any: no client, no HTTP, no network',
    covers: (file) => file.product && file.owner === 'apps/hostd',
    forbids: (specifier) => isOneOf(specifier, ['@mvm/hostd-client', '@mvm/agentd-api', ...NETWORK_MODULES]),
  },
  {
    why: 'agentd decides; images are for hostd and for root at the command line',
    covers: (file) => file.product && file.owner === 'apps/agentd',
    forbids: (specifier) => isOneOf(specifier, ['@mvm/image-store']),
  },
  {
    why: 'product code never imports test helpers',
    covers: (file) =>
      file.product && !['packages/testkit', 'packages/guest-image', 'scripts/demo'].includes(file.owner),
    forbids: (specifier) => isOneOf(specifier, TEST_ONLY),
  },
  {
    why: 'a relative import stays inside its package',
    covers: () => true,
    forbids: (specifier, file) => isRelative(specifier) && leavesPackage(file.path, specifier),
  },
];

/** @param {string} specifier */
function isRelative(specifier) {
  return specifier.startsWith('./') || specifier.startsWith('../') || specifier === '.' || specifier === '..';
}

/**
 * Whether the specifier is one of the modules or a subpath of one.
 * @param {string} specifier
 * @param {string[]} modules
 */
function isOneOf(specifier, modules) {
  return modules.some((name) => specifier === name || specifier.startsWith(`${name}/`));
}

/**
 * @param {string} path of the importing file, inside its package
 * @param {string} specifier
 */
function leavesPackage(path, specifier) {
  let depth = path.split('/').length - 1;
  for (const part of specifier.split('/')) {
    if (part === '..') depth -= 1;
    else if (part !== '.' && part !== '') depth += 1;
    if (depth < 0) return true;
  }
  return false;
}
