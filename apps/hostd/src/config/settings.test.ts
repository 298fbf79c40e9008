import { readFileSync, writeFileSync } from 'node:fs';
import { renderSettingRows } from '@mvm/settings';
import { expect, it } from 'vitest';
import { ENVIRONMENT_PREFIX, settings } from './settings.js';

const PAGE = new URL('../../../../docs/hostd-config.md', import.meta.url);
/** The only table of the page that begins so. */
const TABLE = /^\| flag \|.*\n(?:\|.*\n)+/m;

it('docs/hostd-config.md has the table of these settings (update: MVM_UPDATE_CONTRACT=1)', () => {
  const rows = renderSettingRows(ENVIRONMENT_PREFIX, settings);
  if (process.env.MVM_UPDATE_CONTRACT === '1') {
    writeFileSync(
      PAGE,
      readFileSync(PAGE, 'utf8').replace(TABLE, () => rows),
    );
  }
  expect(TABLE.exec(readFileSync(PAGE, 'utf8'))?.[0]).toBe(rows);
});
