import { expect, test } from 'vitest';
import { desiredStateFields } from './fields.js';
import { MEANINGS, meaningKey } from './meanings.js';

const fields = desiredStateFields();
/** What is inside of fields that mvm keeps and does not act on needs no meaning. */
const KEPT = /\.(routing_table|default_update_strategy|registry_artifact)\./;

test('every field of a desired state has a meaning (add it to meanings.ts), and every meaning a field', () => {
  expect(
    fields.filter(({ path, meaning }) => meaning === '' && !KEPT.test(path)).map(({ path }) => path),
  ).toEqual([]);
  const keys = new Set(fields.map(({ path }) => meaningKey(path)));
  expect(Object.keys(MEANINGS).filter((key) => !keys.has(key))).toEqual([]);
});

test.each([
  ['tenants', { type: 'list of object', required: true }],
  ['tenants.pools.instance_resources.vcpus', { type: 'integer 1…32', required: true }],
  [
    'tenants.pools.snapshot_compression',
    { type: 'one of none, lz4, zstd', default: '"none"', required: false },
  ],
  ['tenants.pools.sleep_policy', { type: 'object or null', required: false }],
  ['tenants.pools.secret_scopes', { type: 'list of string or object' }],
  ['tenants.network.policy.deny.cidr', { required: true, meaning: MEANINGS['policy.rule.cidr'] }],
])('%s is as the schema says', (path, expected) => {
  expect(fields.find((field) => field.path === path)).toMatchObject(expected);
});
