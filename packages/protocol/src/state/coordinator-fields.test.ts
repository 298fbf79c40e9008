import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { v1RequestCodec } from '../v1/index.js';
import { findNotHonoured, parseDesiredState, scopesForHostd } from './index.js';

// What the structs of crate mvm-core 0.13.0 write, as JSON.
const TESTDATA = new URL('../../testdata/mvm-core-0.13.0/', import.meta.url);
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, TESTDATA), 'utf8'));

describe('the desired state of mvm-core 0.13.0', () => {
  it('is taken and has nothing that is not honoured, where its optional fields are empty', () => {
    const state = parseDesiredState(read('desired-plain.json'));
    expect(state).toMatchObject({ sequence: 0, tenants: [{ preferred_regions: [], pools: [{}] }] });
    expect(findNotHonoured(state)).toEqual([]);
  });

  it('is kept as it is, with all its fields', () => {
    const written = read('desired-full.json');
    expect(parseDesiredState(written)).toMatchObject(written as object);
  });

  it('has fields that are not honoured, each by its name', () => {
    const found = findNotHonoured(parseDesiredState(read('desired-full.json')));
    expect(found.map(({ tenant_id, pool_id, field }) => [tenant_id, pool_id, field])).toEqual([
      ['acme', null, 'preferred_regions'],
      ['acme', 'gateways', 'routing_table'],
      ['acme', 'gateways', 'secret_scopes.integration'],
      ['acme', 'gateways', 'default_update_strategy'],
      ['acme', 'gateways', 'registry_artifact'],
      ['acme', 'workers', 'secret_scopes.integration'],
      ['acme', 'workers', 'default_update_strategy'],
    ]);
    for (const { field, message } of found) expect(message).toContain(field.split('.')[0]);
  });

  it.each([
    [[], []],
    [
      ['token', 'db.*'],
      ['token', 'db.*'],
    ],
    [
      [{ integration: 'a', keys: ['x', 'y'] }, 'y', { integration: 'b', keys: ['x'] }],
      ['x', 'y'],
    ],
    [[{ integration: 'a', keys: [] }], ['*']],
  ])('scopes %j are %j for hostd', (scopes, names) => {
    expect(scopesForHostd(scopes)).toEqual(names);
  });
});

it.each([2, '1', null])('light 5: another schema version %j is refused in words', (schema_version) => {
  const other = { ...(read('desired-plain.json') as object), schema_version };
  expect(() => parseDesiredState(other)).toThrow(
    /schema_version: this version of mvm knows schema version 1/,
  );
});

describe('requests of mvm agents', () => {
  const requests = read('requests.json') as (string | Record<string, Record<string, unknown>>)[];
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

  it('of mvm-core 0.13.0 are version 1', () => {
    for (const request of requests) {
      const decoded = v1RequestCodec.decode(encode(request));
      expect(JSON.parse(new TextDecoder().decode(v1RequestCodec.encode(decoded)))).toEqual(request);
    }
  });

  const withFields = (fields: object) =>
    requests
      .filter((request) => typeof request === 'object')
      .map((request) =>
        Object.fromEntries(Object.entries(request).map(([name, body]) => [name, { ...fields, ...body }])),
      );

  it.each([{}, { workspace_id: null }, { volumes: [] }, { volumes: null, workspace_id: null }])(
    'with %j are taken',
    (fields) => {
      for (const request of withFields(fields)) {
        expect(v1RequestCodec.decode(encode(request)).type).toBe(Object.keys(request)[0]);
      }
    },
  );

  it.each([
    ['workspace_id', 'w-1'],
    ['workspace_id', ''],
    ['volumes', [{ name: 'data', size_mib: 64 }]],
    ['volumes', ['data']],
    ['volumes', {}],
    ['volumes', [null]],
  ])('with %s %j are refused by name', (field, value) => {
    for (const request of withFields({ [field]: value })) {
      expect(() => v1RequestCodec.decode(encode(request))).toThrow(
        expect.objectContaining({
          code: 'invalid_argument',
          reason: 'protocol.unsupported_field',
          message: expect.stringContaining(field),
        }),
      );
    }
  });
});
