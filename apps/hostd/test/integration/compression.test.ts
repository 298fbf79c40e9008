import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { compress } from '../../src/snapshot/compression.js';
import { setrlimit } from '../../src/system/libc.js';

const RLIMIT_NOFILE = 7;

async function descriptorLimits(): Promise<{ soft: bigint; hard: bigint }> {
  const [, soft = '0', hard = '0'] =
    /^Max open files\s+(\d+)\s+(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8')) ?? [];
  return { soft: BigInt(soft), hard: BigInt(hard) };
}

test('a process without a descriptor to spare says so, and goes on', async () => {
  const { soft, hard } = await descriptorLimits();
  const source = (async function* () {
    yield Buffer.from('memory');
  })();
  const pieces = compress('zstd', source)[Symbol.asyncIterator]();
  // The compressor is started before anything is waited for: no other process meets the limit.
  setrlimit(RLIMIT_NOFILE, BigUint64Array.of(3n, hard));
  const first = pieces.next();
  setrlimit(RLIMIT_NOFILE, BigUint64Array.of(soft, hard));
  await expect(first).rejects.toMatchObject({
    reason: 'snapshot.compressor',
    message: expect.stringContaining('EMFILE'),
  });
});
