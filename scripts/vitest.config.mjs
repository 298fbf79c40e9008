import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.mjs'],
    reporters: ['default', 'json'],
    pool: 'forks',
    testTimeout: 30_000,
  },
});
