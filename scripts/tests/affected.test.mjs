import { expect, test } from 'vitest';
import { daemonsUsing } from '../dev/affected.mjs';

const packages = [
  { name: '@mvm/protocol', dependencies: ['zod'] },
  { name: '@mvm/hostd-client', dependencies: ['@mvm/protocol'] },
  { name: '@mvm/net-executor', dependencies: ['@mvm/protocol'] },
  { name: '@mvm/hostd', dependencies: ['@mvm/net-executor'] },
  { name: '@mvm/agentd', dependencies: ['@mvm/hostd-client'] },
];

test.each([
  [['@mvm/protocol'], ['hostd', 'agentd']],
  [['@mvm/net-executor'], ['hostd']],
  [['@mvm/hostd-client'], ['agentd']],
  [['@mvm/cli'], []],
  [[], []],
])('a change in %j restarts %j', (changed, daemons) => {
  expect(daemonsUsing(packages, new Set(changed))).toEqual(daemons);
});
