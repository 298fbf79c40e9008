// Compiles the guest's first program into dist/mvm-init. Static and small: it must run in an image that has nothing.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';

const MAX_BYTES = 200 * 1024;
const directory = new URL('.', import.meta.url).pathname;
const output = new URL('../dist/mvm-init', import.meta.url).pathname;
const sources = readdirSync(directory).filter((file) => file.endsWith('.c'));
const flags = [
  ...['-static', '-Os', '-std=c11', '-Wall', '-Wextra', '-Werror', '-Wno-format-truncation'],
  ...['-ffunction-sections', '-fdata-sections', '-Wl,--gc-sections', '-Wl,--build-id=none', '-s'],
];

mkdirSync(new URL('../dist/', import.meta.url), { recursive: true });
try {
  execFileSync('musl-gcc', [...flags, '-o', `${output}.new`, ...sources.sort()], {
    cwd: directory,
    stdio: 'inherit',
  });
} catch (error) {
  if (error.code === 'ENOENT')
    throw new Error('musl-gcc is missing: run npm run setup, or apt-get install musl-tools gcc');
  throw error;
}
if (statSync(`${output}.new`).size > MAX_BYTES) throw new Error(`mvm-init is larger than ${MAX_BYTES} bytes`);
renameSync(`${output}.new`, output);
