import { parseArgs } from 'node:util';
import { isCodedError } from '@mvm/protocol';
import { buildGuestImage } from './build-guest-image.js';
import { GuestImageError } from './errors.js';

/** `node dist/main.js --out DIR`: progress on stderr, the image's paths as JSON on stdout. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { out: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true || values.out === undefined) {
    process.stderr.write('usage: node dist/main.js --out DIR\n');
    return values.help === true ? 0 : 2;
  }
  const image = await buildGuestImage({
    outDir: values.out,
    onProgress: (what) => process.stderr.write(`guest image: ${what}\n`),
  });
  process.stderr.write(`guest image: ${image.built ? 'built' : 'found, nothing changed'}\n`);
  process.stdout.write(`${JSON.stringify(image, null, 2)}\n`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof GuestImageError) && !isCodedError(error)) throw error;
  process.stderr.write(`guest image: ${error.message}\n${error.hint ?? ''}\n`);
  process.exitCode = 1;
}
