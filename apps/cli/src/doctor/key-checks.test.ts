import { expect, it } from 'vitest';
import { runChecks } from './check.js';
import type { HostProbe } from './host-probe.js';
import { keyChecks } from './key-checks.js';

const KEY = `${'0a'.repeat(32)}\n`;

async function diagnose(files: Record<string, { stat?: string; text?: string }>, uid = 0) {
  const at = (path: string) => files[path.replace('/etc/mvm/keys/', '')];
  const host: Partial<HostProbe> = {
    uid,
    list: async () => Object.keys(files),
    run: async (_program, args) => ({
      kind: 'ran',
      exitCode: 0,
      output: at(args[1] ?? '')?.stat ?? 'regular file 0 600',
    }),
    readText: async (path) => at(path)?.text ?? KEY,
  };
  const [found] = await runChecks(keyChecks, host as HostProbe);
  return found;
}

it.each([
  [{ 'acme.key': {}, 'globex.key': { stat: 'regular file 0 400' }, README: {} }, 'ok', '2 in'],
  [{}, 'ok', 'none in'],
  [
    { 'acme.key': {}, 'b.key': { stat: 'regular file 0 644' } },
    'fail',
    'b.key must be a file that only root',
  ],
  [{ 'acme.key': { stat: 'regular file 1000 600' } }, 'fail', 'acme.key must be a file that only root'],
  [{ 'acme.key': { stat: 'symbolic link 0 777' } }, 'fail', 'acme.key must be a file'],
  [{ 'acme.key': { text: 'garbage' } }, 'fail', 'acme.key does not hold 64'],
  [{ 'acme.key': { text: `${KEY}${KEY}` } }, 'fail', 'acme.key does not hold 64'],
] as const)('%j: %s', async (files, verdict, detail) => {
  const found = await diagnose(files);
  expect(found).toMatchObject({ verdict, detail: expect.stringContaining(detail) });
  expect(JSON.stringify(found)).not.toContain('0a0a');
});

it('looks at none without root', async () => {
  expect(await diagnose({ 'acme.key': { text: 'x' } }, 1000)).toMatchObject({ verdict: 'skip' });
});
