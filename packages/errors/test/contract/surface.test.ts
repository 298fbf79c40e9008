import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as errors from '../../src/index.js';

it('exports exactly this', () => {
  expect(Object.keys(errors).sort()).toEqual([
    'CodedError',
    'ERROR_CODES',
    'errnoOf',
    'isCodedError',
    'quoteForMessage',
    'toCodedError',
  ]);
  const index = readFileSync(new URL('../../src/index.ts', import.meta.url), 'utf8');
  expect([...index.matchAll(/type (\w+),/g)].map(([, name]) => name)).toEqual([
    'CodedErrorInit',
    'ErrorCode',
    'ErrorDetails',
    'RetryClass',
  ]);
});
