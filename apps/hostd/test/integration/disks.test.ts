import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { link, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildConfigDrive, renderConfigEnv } from '../../src/disk/config-drive.js';
import { ensureDataDisk } from '../../src/disk/data-disk.js';
import { wipeFile } from '../../src/disk/wipe-file.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-disk-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const config = { tenant_id: 'acme', net: { address: '10.240.3.3/24', gateway: '10.240.3.1' } };

function debugfs(image: string, command: string): string {
  return execFileSync('debugfs', ['-R', command, image], {
    stdio: ['ignore', 'pipe', 'ignore'],
    encoding: 'utf8',
  });
}

async function sha256(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

describe('a config drive', () => {
  it('holds the configuration, is a sound file system, and is the same for the same content', async () => {
    const path = join(directory, 'config.ext4');
    await buildConfigDrive({ path, config });
    const first = await sha256(path);
    expect(JSON.parse(debugfs(path, 'cat /config.json'))).toEqual(config);
    expect(debugfs(path, 'cat /config.env')).toBe(
      "MVM_TENANT_ID='acme'\nMVM_NET_ADDRESS='10.240.3.3/24'\nMVM_NET_GATEWAY='10.240.3.1'\n",
    );
    execFileSync('e2fsck', ['-fn', path], { stdio: 'ignore' });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    // The clock must not show, or the next second would make another image.
    for (const inode of ['/', '/config.json', '/config.env']) {
      const times = debugfs(path, `stat ${inode}`).match(/^\s*\w?[acm]time: 0x(\w+)/gm) ?? [];
      expect(times.map((line) => line.split('0x')[1])).toEqual(Array(times.length).fill('5e0be100'));
      expect(times.length).toBeGreaterThanOrEqual(3);
    }
    await buildConfigDrive({ path, config });
    expect(await sha256(path)).toBe(first);
    await buildConfigDrive({ path, config: { ...config, tenant_id: 'other' } });
    expect(await sha256(path)).not.toBe(first);
    expect(await readdir(directory)).toEqual(['config.ext4']);
  });

  it('is the old one, and nothing else, when it cannot be built', async () => {
    const path = join(directory, 'config.ext4');
    await buildConfigDrive({ path, config });
    const first = await sha256(path);
    await expect(buildConfigDrive({ path, config: { big: 'x'.repeat(2_000_000) } })).rejects.toMatchObject({
      reason: expect.stringMatching(/^disk\./),
    });
    expect(await sha256(path)).toBe(first);
    expect(await readdir(directory)).toEqual(['config.ext4']);
  });

  it('cannot break out of a shell that sources its env file', () => {
    const nasty = "'; touch /tmp/x; echo '$(id)`id`\"";
    const env = renderConfigEnv({ name: nasty });
    expect(execFileSync('/bin/sh', ['-c', `${env}printf %s "$MVM_NAME"`], { encoding: 'utf8' })).toBe(nasty);
  });
});

describe('a data disk', () => {
  it('is made sparse, and never made again', async () => {
    const path = join(directory, 'data.ext4');
    await ensureDataDisk({ path, sizeMib: 256 });
    const made = await stat(path);
    expect(made.size).toBe(256 * 1_048_576);
    expect(made.blocks * 512).toBeLessThan(16 * 1_048_576);
    expect(made.mode & 0o777).toBe(0o600);
    execFileSync('e2fsck', ['-fn', path], { stdio: 'ignore' });
    const first = await sha256(path);
    await ensureDataDisk({ path, sizeMib: 512 });
    expect(await sha256(path)).toBe(first);
    expect(await readdir(directory)).toEqual(['data.ext4']);
  });

  it('leaves nothing when it cannot be made', async () => {
    await expect(
      ensureDataDisk({ path: join(directory, 'no', 'data.ext4'), sizeMib: 64 }),
    ).rejects.toMatchObject({
      reason: 'state.io_error',
    });
    expect(await readdir(directory)).toEqual([]);
  });
});

describe('wiping', () => {
  it('overwrites what was there before it unlinks', async () => {
    const path = join(directory, 'data.ext4');
    const witness = join(directory, 'witness');
    const secret = Buffer.from('customer secret '.repeat(10_000));
    const file = await open(path, 'w');
    await file.write(secret, 0, secret.length, 5_000_000);
    await file.truncate(50_000_000);
    await file.close();
    // A second name of the same blocks shows what became of them.
    await link(path, witness);
    await wipeFile(path);
    expect(await readdir(directory)).toEqual(['witness']);
    const left = await readFile(witness);
    expect(left.length).toBe(50_000_000);
    expect(left.equals(Buffer.alloc(50_000_000))).toBe(true);
    await wipeFile(path);
  });

  it('does not follow a link', async () => {
    const target = join(directory, 'target');
    await writeFile(target, 'precious');
    await symlink(target, join(directory, 'data.ext4'));
    await expect(wipeFile(join(directory, 'data.ext4'))).rejects.toMatchObject({ code: 'internal' });
    expect(await readFile(target, 'utf8')).toBe('precious');
  });
});
