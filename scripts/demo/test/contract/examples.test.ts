import { readdirSync, readFileSync } from 'node:fs';
import { parseDesiredState } from '@mvm/protocol/state';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const root = new URL('../../../../', import.meta.url);
const examples = readdirSync(new URL('examples', root)).filter((name) => name.endsWith('.yaml'));

test.each(examples)('examples/%s is a desired state', (name) => {
  const state = parseDesiredState(parse(readFileSync(new URL(`examples/${name}`, root), 'utf8')));
  expect(state.tenants.length).toBeGreaterThan(0);
});

test('the desired state in the README is one', () => {
  const block = /```yaml\n(schema_version[\s\S]*?)```/.exec(
    readFileSync(new URL('README.md', root), 'utf8'),
  )?.[1];
  expect(parseDesiredState(parse(block ?? '')).tenants[0]?.tenant_id).toBe('acme');
});
