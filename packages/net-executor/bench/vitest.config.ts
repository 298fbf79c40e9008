import { defineConfig } from 'vitest/config';

// The benchmark shares the tests' guests and frames, which are TypeScript; vitest is what runs TypeScript here.
const conditions = ['@mvm/source', 'node', 'import', 'module', 'default'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['bench/network.bench.ts'],
    testTimeout: 900_000,
    pool: 'forks',
  },
});
