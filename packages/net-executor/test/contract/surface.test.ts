import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as diagnose from '../../src/diagnose/index.js';
import * as execute from '../../src/execute/index.js';
import * as planning from '../../src/index.js';
import * as observe from '../../src/observe/index.js';

/** Entry point, its file, its module, the values and the types that it exports. */
const ENTRIES: readonly (readonly [string, string, object, readonly string[], readonly string[]])[] = [
  [
    '.',
    'index.ts',
    planning,
    [
      'DEFAULT_LIMITS',
      'DEFAULT_POLICY',
      'MAX_TRACKED_PER_TENANT',
      'PRIVATE_RANGES',
      'RULE_PREFERENCES',
      'RULE_PROTOCOL',
      'SETS',
      'SET_NAMES',
      'TABLE_NAME',
      'TENANT_LIMITS',
      'applyStep',
      'applySteps',
      'checkConflicts',
      'checkDesiredNetwork',
      'checkPort',
      'checkTenant',
      'completePolicy',
      'countChecked',
      'expandDesired',
      'invertStep',
      'invertSteps',
      'planNetwork',
      'policiesOf',
      'profileFor',
      'renderBaseTables',
      'renderIpBatch',
      'renderNftScript',
      'verifyNetwork',
    ],
    [
      'CheckedObjects',
      'CompletePolicy',
      'DesiredBridge',
      'DesiredHostNetwork',
      'DesiredTap',
      'DesiredTenantNetwork',
      'ExpandedNetwork',
      'GuestPort',
      'InstancePort',
      'NetElement',
      'NetStep',
      'NetStepKind',
      'NetworkChange',
      'NetworkContext',
      'NetworkDrift',
      'ObservedLink',
      'ObservedNetwork',
      'ObservedProfile',
      'PolicyPart',
      'PolicyRule',
      'Profile',
      'ProfileSpec',
      'SetName',
      'Sysctl',
      'TablesState',
      'TenantGuests',
      'TenantPolicies',
      'UidRange',
    ],
  ],
  [
    './observe',
    'observe/index.ts',
    observe,
    [
      'checkSubnetFree',
      'createCommandRunner',
      'observeNetwork',
      'overlapping',
      'readDefaultRouteLinks',
      'readHostNetworks',
      'verifyNetwork',
    ],
    ['CommandResult', 'CommandRunner', 'HostNetwork', 'NetworkDrift', 'ObserveOptions', 'Program'],
  ],
  [
    './diagnose',
    'diagnose/index.ts',
    diagnose,
    [
      'DROP_MEANINGS',
      'findFirewallConflicts',
      'findRoute',
      'findWayBack',
      'policySource',
      'traceInbound',
      'traceOutbound',
    ],
    [
      'Destination',
      'DropMeaning',
      'FirewallConflict',
      'FirewallFindings',
      'ForeignEffect',
      'ForeignSite',
      'InboundAnswer',
      'InboundQuestion',
      'NetworkSite',
      'OutboundQuestion',
      'PathAnswer',
      'PathStep',
      'PolicySource',
      'ReadProgram',
      'Route',
    ],
  ],
  [
    './execute',
    'execute/index.ts',
    execute,
    ['createNetworkExecutor', 'findConntrackProblem', 'renderCommands'],
    [
      'DropCount',
      'NetworkCommand',
      'NetworkExecutor',
      'NetworkExecutorOptions',
      'NetworkLogger',
      'NetworkWatch',
      'NetworkWatchEvent',
      'PortOptions',
    ],
  ],
];

it.each(ENTRIES)('%s exports exactly this', (_, file, module, values, types) => {
  expect(Object.keys(module).sort()).toEqual(values);
  const index = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8');
  const exported = [...index.matchAll(/export (type )?\{([^}]*)\}/g)].flatMap(([, all, list = '']) =>
    list
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== '' && (all !== undefined || entry.startsWith('type ')))
      .map((entry) => entry.replace('type ', '')),
  );
  expect(exported.sort()).toEqual(types);
});

it('package.json has exactly these entry points', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const entries = ENTRIES.map(([entry]) => entry);
  expect(Object.keys(manifest.exports).sort()).toEqual([...entries, './package.json'].sort());
});
