// Compiles the guest's first program into dist/mvm-init, and mvm-vsock. Static and small: they must run in an image that
// has nothing.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';

const MAX_BYTES = 200 * 1024;
const directory = new URL('.', import.meta.url).pathname;
const programs = { 'mvm-init': '.', 'mvm-vsock': 'vsock' };
const flags = [
  ...['-static', '-Os', '-std=c11', '-Wall', '-Wextra', '-Werror', '-Wno-format-truncation'],
  ...['-ffunction-sections', '-fdata-sections', '-Wl,--gc-sections', '-Wl,--build-id=none', '-s'],
];

mkdirSync(new URL('../dist/', import.meta.url), { recursive: true });
for (const [name, folder] of Object.entries(programs)) compile(name, directory + folder);

function compile(name, cwd) {
  const output = new URL(`../dist/${name}`, import.meta.url).pathname;
  const sources = readdirSync(cwd).filter((file) => file.endsWith('.c'));
  try {
    execFileSync('musl-gcc', [...flags, '-o', `${output}.new`, ...sources.sort()], { cwd, stdio: 'inherit' });
  } catch (error) {
    if (error.code === 'ENOENT')
      throw new Error('musl-gcc is missing: run npm run setup, or apt-get install musl-tools gcc');
    throw error;
  }
  if (statSync(`${output}.new`).size > MAX_BYTES)
    throw new Error(`${name} is larger than ${MAX_BYTES} bytes`);
  renameSync(`${output}.new`, output);
}
