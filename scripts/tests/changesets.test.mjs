import { expect, test } from 'vitest';
import { changesetFaults } from '../changesets/validate.mjs';

const packages = new Set(['@mvm/protocol']);

test.each([
  ["---\n'@mvm/protocol': minor\n---\n\nText.\n", []],
  ['---\n---\n', []],
  ['Text.\n', ['has no front matter between two lines of ---']],
  ["---\n'@mvm/other': minor\n---\n\nText.\n", ['@mvm/other is not a package that is versioned here']],
  ["---\n'@mvm/protocol': huge\n---\n\nText.\n", [expect.stringContaining('is not')]],
  ["---\n'@mvm/protocol': patch\n---\n\n", ['does not say what changes']],
])('%j', (text, faults) => expect(changesetFaults(text, packages)).toEqual(faults));
