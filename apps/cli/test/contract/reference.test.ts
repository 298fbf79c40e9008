import { readFile } from 'node:fs/promises';
import { AGENTD_SOCKET_PATH } from '@mvm/protocol';
import { expect, it } from 'vitest';
import { DEFAULT_SOCKET_PATH } from '../../src/create-context.js';
import { buildSilentProgram, configureAll } from '../../src/program.js';
import { renderReference } from '../../src/reference/render-reference.js';

const program = buildSilentProgram();

it('docs/cli.md is what the definitions say; "pnpm --filter @mvm/cli docs" writes it', async () => {
  await configureAll(program);
  const committed = await readFile(new URL('../../../../docs/cli.md', import.meta.url), 'utf8');
  expect(committed).toBe(renderReference(program));
});

it('the default socket is the one of the contract', () => {
  expect(DEFAULT_SOCKET_PATH).toBe(AGENTD_SOCKET_PATH);
});
