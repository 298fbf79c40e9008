import { readFileSync } from 'node:fs';

/** Our version, out of package.json. */
export const HOSTD_VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
