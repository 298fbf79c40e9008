import { expect, test } from 'vitest';
import { renderSettingsPage } from './render-settings.js';

test('docs/hostd-config.md is what the table of settings renders (update: vitest -u)', async () => {
  await expect(renderSettingsPage()).toMatchFileSnapshot('../../../../docs/hostd-config.md');
});
