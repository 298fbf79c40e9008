import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** The test tiers of this repository, in the order in which CI runs them; see CONTRIBUTING.md. */
const tiers: Record<
  string,
  { include: string[]; exclude?: string[]; testTimeout: number; serial?: boolean }
> = {
  unit: { include: ['src/**/*.test.ts'], exclude: ['src/**/*.property.test.ts'], testTimeout: 10_000 },
  property: { include: ['src/**/*.property.test.ts'], testTimeout: 60_000 },
  contract: { include: ['test/contract/**/*.test.ts'], testTimeout: 30_000 },
  integration: { include: ['test/integration/**/*.test.ts'], testTimeout: 60_000 },
  privileged: { include: ['test/privileged/**/*.test.ts'], testTimeout: 120_000, serial: true },
  vm: { include: ['test/vm/**/*.test.ts'], testTimeout: 180_000, serial: true },
};

/** One vitest project per tier, for the package whose vitest.config.ts calls this. */
export function packageTests(): ViteUserConfig {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { devDependencies?: object };
  const seed = fileURLToPath(new URL('./vitest.seed.ts', import.meta.url));
  const setupFiles = 'fast-check' in (manifest.devDependencies ?? {}) ? [seed] : [];
  // Workspace packages resolve to their TypeScript sources, so that a unit test needs no build.
  const conditions = ['@mvm/source', 'node', 'import', 'module', 'default'];
  return defineConfig({
    test: {
      reporters: ['default', 'json'],
      projects: Object.entries(tiers).map(([name, tier]) => ({
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          name,
          include: tier.include,
          exclude: tier.exclude ?? [],
          setupFiles,
          testTimeout: tier.testTimeout,
          hookTimeout: tier.testTimeout,
          fileParallelism: !tier.serial,
          pool: 'forks',
        },
      })),
    },
  });
}
