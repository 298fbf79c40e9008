import { expect, it } from 'vitest';
import { renderSettingsDoc } from './render-settings-doc.js';

it('docs/agentd-config.md is what the settings table renders (update: vitest -u)', async () => {
  await expect(renderSettingsDoc()).toMatchFileSnapshot('../../../../docs/agentd-config.md');
});
