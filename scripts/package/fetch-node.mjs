/** Fetches the Node that the Debian package carries into `.cache/node`, so that packing needs no network. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeRuntime } from './node-runtime.mjs';

nodeRuntime(join(dirname(fileURLToPath(import.meta.url)), '../..'));
