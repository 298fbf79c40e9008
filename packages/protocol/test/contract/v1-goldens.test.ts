import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Codec } from '../../src/index.js';
import { v1RequestCodec, v1RequestSchemas, v1ResponseCodec, v1ResponseSchemas } from '../../src/v1/index.js';
import { v1Requests, v1Responses } from '../samples/messages.js';
import { listFolder, readGolden } from './golden-files.js';

// Version 1 is fixed for ever. This digest is of testdata/v1/SHA256SUMS, which holds the digest of every frame body
// there; none of them may change, so there is no command that updates them.
const MANIFEST_SHA256 = '66e9dc4c7130874bf6c0fc8d170d33b0a50dfcb9e0edc1e91a95bb4b6c5c89ea';

// The JSON Schema of version 1 is as fixed as its bytes; only a change of its wording may change this digest.
const SCHEMA_SHA256 = 'f6c901f9416ebac6fd4a0766a7a3dc5c5658e8c610702916f28768831fc54dc5';

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const files = listFolder('testdata/v1').filter((name) => name !== 'SHA256SUMS');

describe('frozen goldens of version 1', () => {
  it('have the manifest that was fixed', () => {
    expect(sha256(readGolden('testdata/v1/SHA256SUMS'))).toBe(MANIFEST_SHA256);
  });

  it('have the JSON Schema that was fixed', () => {
    expect(sha256(readGolden('schema/v1.json'))).toBe(SCHEMA_SHA256);
  });

  it('are exactly the files of the manifest, unchanged', () => {
    const sums = files.map((name) => `${sha256(readGolden(`testdata/v1/${name}`))}  ${name}\n`).join('');
    expect(sums).toBe(new TextDecoder().decode(readGolden('testdata/v1/SHA256SUMS')));
  });

  it('hold every request and every response', () => {
    const tags = new Set(files.map((name) => name.split('.').slice(0, 2).join('.')));
    const wanted = [
      ...Object.keys(v1RequestSchemas).map((tag) => `request.${tag}`),
      ...Object.keys(v1ResponseSchemas).map((tag) => `response.${tag}`),
    ];
    expect([...tags].sort()).toEqual(wanted.sort());
  });

  it.each(files)('%s decodes and is encoded again byte for byte', (name) => {
    const codec: Codec<never> = name.startsWith('request.')
      ? (v1RequestCodec as unknown as Codec<never>)
      : (v1ResponseCodec as unknown as Codec<never>);
    const bytes = readGolden(`testdata/v1/${name}`);
    expect(codec.encode(codec.decode(bytes))).toEqual(bytes);
  });

  it('mean what the samples say', () => {
    for (const [table, samples, codec] of [
      ['request', v1Requests, v1RequestCodec],
      ['response', v1Responses, v1ResponseCodec],
    ] as const) {
      for (const [tag, variants] of Object.entries(samples)) {
        for (const [variant, message] of Object.entries(variants)) {
          expect(codec.decode(readGolden(`testdata/v1/${table}.${tag}.${variant}.json`))).toEqual(message);
        }
      }
    }
  });
});
