import { defineConfig } from 'vitest/config';

// The benchmark shares the tests' host, which is TypeScript; vitest is what runs TypeScript here.
const conditions = ['@mvm/source', 'node', 'import', 'module', 'default'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['bench/*.bench.ts'],
    fileParallelism: false,
    testTimeout: 900_000,
    pool: 'forks',
  },
});
