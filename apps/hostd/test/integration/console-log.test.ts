import { createWriteStream } from 'node:fs';
import { appendFile, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepLogBounded, readLog, removeLog, rotateLog, tailLines } from '../../src/console/console-log.js';

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-console-'));
  path = join(directory, 'console.log');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('a console log', () => {
  it('is empty before it exists', async () => {
    expect(await readLog({ path, maxBytes: 100 })).toEqual({
      offset: 0,
      nextOffset: 0,
      data: Buffer.alloc(0),
      truncated: false,
    });
  });

  it('keeps counting offsets while it turns, and reads across the border', async () => {
    let written = '';
    for (let turn = 0; turn < 5; turn += 1) {
      const text = Array.from({ length: 30 }, (_, line) => `turn ${turn} line ${line}\n`).join('');
      await appendFile(path, text);
      written += text;
      expect(await rotateLog(path, 200)).toBe(true);
      expect(await rotateLog(path, 200)).toBe(false);
      await appendFile(path, 'after\n');
      written += 'after\n';
      const tail = await readLog({ path, maxBytes: 150 });
      expect(tail.data.toString()).toBe(written.slice(-150));
      expect(tail.nextOffset).toBe(written.length);
      const old = await readLog({ path, offset: 0, maxBytes: 10_000 });
      expect(old.truncated).toBe(true);
      expect(old.data.toString()).toBe(written.slice(old.offset));
      const piece = await readLog({ path, offset: old.offset + 190, maxBytes: 14 });
      expect(piece.data.toString()).toBe(written.slice(old.offset + 190, old.offset + 204));
    }
    const beyond = await readLog({ path, offset: 999_999, maxBytes: 10 });
    expect(beyond).toMatchObject({ nextOffset: written.length, truncated: false });
    expect(beyond.data.length).toBe(0);
    expect((await readdir(directory)).length).toBe(2);
    await removeLog(path);
    await removeLog(path);
    expect(await readdir(directory)).toEqual([]);
  });

  it('stays bounded under a writer that has it open for appending', async () => {
    const limit = 64_000;
    const writer = await open(path, 'a');
    const keeper = keepLogBounded(path, { limitBytes: limit });
    try {
      let total = 0;
      // The VMM's descriptor stays open over the cut and goes on at the new beginning.
      for (let turns = 0; turns < 3; ) {
        await writer.write(Buffer.alloc(10_000, 97));
        total += 10_000;
        if ((await stat(path)).size < 10_001 && total > limit * (turns + 1)) turns += 1;
        expect(total).toBeLessThan(500_000_000);
        if (total % 200_000 === 0) await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const tail = await readLog({ path, maxBytes: 100 });
      expect(tail.data.includes(0)).toBe(false);
      const kept = (await readdir(directory)).filter((name) => /\.\d+$/.test(name));
      expect(kept).toHaveLength(1);
      expect((await stat(join(directory, kept[0] as string))).size).toBeLessThanOrEqual(2 * limit + 10_000);
    } finally {
      keeper.release();
      await writer.close();
    }
  });

  it('gives its last lines as text', async () => {
    const stream = createWriteStream(path);
    await new Promise((resolve) => stream.end('one\r\ntwo\r\nthree \xff\n', 'latin1', () => resolve(null)));
    expect(tailLines((await readLog({ path, maxBytes: 1000 })).data, 2)).toBe('two\nthree \ufffd');
  });
});
