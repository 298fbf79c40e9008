import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTenantKeys, takeKeySources } from '../../src/system/tenant-keys.js';

// As root: whose a file is counts.

let dir: string;
let keysDir: string;
let credentialsDir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvmh-keys-'));
  keysDir = join(dir, 'keys');
  credentialsDir = join(dir, 'credentials');
  for (const made of [keysDir, credentialsDir]) await mkdir(made, { mode: 0o700 });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const hex = (byte: string): string => byte.repeat(32);
const keyIn = (where: string, text: string, mode = 0o400): Promise<void> =>
  writeFile(join(where, 'acme-1.key'), text, { mode });
const found = async (environment: NodeJS.ProcessEnv = {}): Promise<string | undefined> =>
  (await createTenantKeys(keysDir, takeKeySources(environment)).find('acme-1'))?.toString('hex');

test('a key comes from its file, else from a credential of systemd, else from its variable', async () => {
  const environment = (): NodeJS.ProcessEnv => ({
    CREDENTIALS_DIRECTORY: credentialsDir,
    MVM_TENANT_KEY_ACME_1: hex('0c'),
    MVM_TENANT_KEY_OTHER: hex('0d'),
  });
  expect(await found()).toBeUndefined();
  expect(await found(environment())).toBe(hex('0c'));
  await keyIn(credentialsDir, `${hex('0B')}\n`);
  expect(await found(environment())).toBe(hex('0b'));
  await keyIn(keysDir, hex('0a'));
  expect(await found(environment())).toBe(hex('0a'));
});

test('variables with keys are taken out of the environment, and what holds none is refused without being quoted', () => {
  const environment: NodeJS.ProcessEnv = { PATH: '/bin', MVM_TENANT_KEY_ACME: hex('0c') };
  takeKeySources(environment);
  expect(environment).toEqual({ PATH: '/bin' });
  let thrown: unknown;
  try {
    takeKeySources({ MVM_TENANT_KEY_ACME: 'correct horse' });
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({
    reason: 'config.invalid',
    message: expect.stringContaining('MVM_TENANT_KEY_ACME'),
  });
  expect(JSON.stringify(thrown) + String(thrown)).not.toContain('horse');
});

test.each<[string, () => Promise<void>]>([
  ['others can read', () => chmod(join(credentialsDir, 'acme-1.key'), 0o440)],
  ['is not root’s', () => chown(join(credentialsDir, 'acme-1.key'), 65_534, 65_534)],
  ['holds no key', () => keyIn(credentialsDir, 'x'.repeat(64), 0o600)],
  ['is too long', () => keyIn(credentialsDir, hex('0b') + ' '.repeat(100), 0o600)],
])('a credential that %s is refused, and not passed over', async (_, spoil) => {
  await keyIn(credentialsDir, hex('0b'), 0o600);
  await spoil();
  const environment = { CREDENTIALS_DIRECTORY: credentialsDir, MVM_TENANT_KEY_ACME_1: hex('0c') };
  await expect(found(environment)).rejects.toMatchObject({ reason: 'tenant.bad_key' });
});

test('a link in place of a key is not followed', async () => {
  await writeFile(join(dir, 'elsewhere'), hex('0b'), { mode: 0o600 });
  await symlink(join(dir, 'elsewhere'), join(credentialsDir, 'acme-1.key'));
  await expect(found({ CREDENTIALS_DIRECTORY: credentialsDir })).rejects.toThrow();
});
