#!/usr/bin/env node
import { readFileSync, statSync } from 'node:fs';

const bundle = new URL('../dist/bundle/', import.meta.url);

/** Whether the bundle has what was compiled last; `pnpm dev` and `tsc -b` compile without bundling. */
function isCurrent() {
  try {
    const made = statSync(new URL('inputs.json', bundle)).mtimeMs;
    const inputs = JSON.parse(readFileSync(new URL('inputs.json', bundle), 'utf8'));
    return inputs.every((path) => statSync(new URL(path, bundle)).mtimeMs <= made);
  } catch {
    return false;
  }
}

if (process.env.MVM_DEBUG !== undefined) process.setSourceMapsEnabled(true);
await import(isCurrent() ? new URL('mvm.js', bundle) : '../dist/main.js');
