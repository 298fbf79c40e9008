import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Codec, isCodedError } from '../../src/index.js';
import { v1RequestCodec, v1ResponseCodec } from '../../src/v1/index.js';
import { packagePath } from './golden-files.js';

interface Vector {
  readonly name: string;
  readonly input: string;
  readonly accept: boolean;
  readonly canonical?: string;
}

/** Structs written as JSON arrays: the one form that a serde peer accepts and we refuse. */
const REFUSED_BY_US = new Set(['fields as a sequence']);

function load(file: string): Vector[] {
  return JSON.parse(readFileSync(packagePath(`testdata/vectors/${file}`), 'utf8')) as Vector[];
}

function check<T>(codec: Codec<T>, vector: Vector): void {
  const bytes = new TextEncoder().encode(vector.input);
  if (vector.accept && !REFUSED_BY_US.has(vector.name)) {
    expect(new TextDecoder().decode(codec.encode(codec.decode(bytes)))).toBe(vector.canonical);
    return;
  }
  let thrown: unknown;
  try {
    codec.decode(bytes);
  } catch (error) {
    thrown = error;
  }
  expect(isCodedError(thrown)).toBe(true);
  expect(thrown).toMatchObject({ code: 'invalid_argument', reason: expect.stringMatching(/^protocol\./) });
}

describe('vectors of a serde peer', () => {
  const requests = load('v1-requests.json');
  const responses = load('v1-responses.json');
  it('are all there', () => {
    expect(requests).toHaveLength(50);
    expect(responses).toHaveLength(10);
  });
  it.each(requests)('request: $name', (vector) => check(v1RequestCodec, vector));
  it.each(responses)('response: $name', (vector) => check(v1ResponseCodec, vector));
});
