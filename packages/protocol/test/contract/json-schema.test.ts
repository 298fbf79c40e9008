import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { expectCommitted, listFolder, readGolden } from './golden-files.js';
import { jsonSchemas } from './json-schemas.js';

function parseGolden(path: string): unknown {
  return JSON.parse(new TextDecoder().decode(readGolden(path)));
}

/** A validator made of the committed file alone, with `$ref` to one of its definitions as the root. */
function validator(file: string, definition: string): z.ZodType {
  const schema = parseGolden(`schema/${file}`) as { $defs: Record<string, never> };
  return z.fromJSONSchema({ $defs: schema.$defs, $ref: `#/$defs/${definition}` });
}

describe('committed JSON Schemas', () => {
  it.each(Object.entries(jsonSchemas))('%s is current', (file, schema) => {
    expectCommitted(`schema/${file}`, `${JSON.stringify(schema, null, 2)}\n`);
  });

  it('leave no file over', () => {
    expect(listFolder('schema')).toEqual(Object.keys(jsonSchemas).sort());
  });

  it('accept every golden of version 1', () => {
    const request = validator('v1.json', 'Request');
    const response = validator('v1.json', 'Response');
    for (const name of listFolder('testdata/v1')) {
      if (name === 'SHA256SUMS') continue;
      const [wanted, other] = name.startsWith('request.') ? [request, response] : [response, request];
      const golden = parseGolden(`testdata/v1/${name}`);
      expect(wanted.safeParse(golden).success, name).toBe(true);
      expect(other.safeParse(golden).success, name).toBe(false);
    }
  });

  it('accept every golden of version 2', () => {
    const client = validator('v2.json', 'ClientFrame');
    const server = validator('v2.json', 'ServerFrame');
    for (const name of listFolder('testdata/HEAD')) {
      const [wanted, other] = /^(request|client)\./.test(name) ? [client, server] : [server, client];
      const golden = parseGolden(`testdata/HEAD/${name}`);
      expect(wanted.safeParse(golden).success, name).toBe(true);
      expect(other.safeParse(golden).success, name).toBe(false);
    }
  });

  it('refuse a field of the wrong type', () => {
    const request = validator('v1.json', 'Request');
    expect(
      request.safeParse({ StartInstance: { tenant_id: 1, pool_id: 'p', instance_id: 'i' } }).success,
    ).toBe(false);
    expect(request.safeParse({ StartInstance: { tenant_id: 't', pool_id: 'p' } }).success).toBe(false);
    expect(request.safeParse('StartInstance').success).toBe(false);
  });
});
