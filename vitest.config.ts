import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig, type UserWorkspaceConfig } from 'vitest/config';
import { namespacedForks } from './scripts/test/namespaced-forks.ts';
import { SumReporter } from './scripts/test/sum-reporter.ts';

type Project = UserWorkspaceConfig['test'];

const local = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Pure tests: all files share one process and its modules, because importing them takes longer than running them. */
const pure: Project = { isolate: false, pool: 'threads' };
/** What needs root: each file runs alone, in a network and mount namespace that ends with it. */
const privileged: Project = { fileParallelism: false, pool: namespacedForks };

/**
 * One project per test tier, in the order in which CI runs them; see CONTRIBUTING.md. Vitest looks for this file upwards,
 * so it serves a package (`vitest run --project unit` in its folder) and the whole workspace (the same in the root).
 */
const projects: Record<string, { include: string; timeoutMs: number; test?: Project }> = {
  scripts: { include: '**/scripts/tests/**/*.test.mjs', timeoutMs: 30_000 },
  unit: {
    include: '**/src/**/*.test.ts',
    timeoutMs: 10_000,
    test: { ...pure, exclude: [...configDefaults.exclude, '**/*.property.test.ts'], fileParallelism: false },
  },
  property: { include: '**/src/**/*.property.test.ts', timeoutMs: 60_000, test: pure },
  contract: { include: '**/test/contract/**/*.test.ts', timeoutMs: 30_000 },
  integration: { include: '**/test/integration/**/*.test.ts', timeoutMs: 60_000 },
  privileged: { include: '**/test/privileged/**/*.test.ts', timeoutMs: 120_000, test: privileged },
  vm: { include: '**/test/vm/**/*.test.ts', timeoutMs: 180_000, test: privileged },
  // Boots a machine of its own: it needs no namespace, and its files no more than one core each.
  systemd: { include: '**/test/systemd/**/*.test.ts', timeoutMs: 600_000, test: { fileParallelism: false } },
  bench: { include: '**/bench/**/*.bench.ts', timeoutMs: 900_000, test: privileged },
};

/** Tiers with random inputs: in CI they are the same each time. */
const SEEDED = ['property', 'privileged'];

// Workspace packages resolve to their TypeScript sources, so that a test needs no build.
const conditions = ['@mvm/source', 'node', 'import', 'module', 'default'];

/**
 * Vitest's keys cover a module's text, this file and the lockfile, but a cached module also holds where its imports were
 * found: what a package exports is part of the key here.
 */
const manifests = ['packages', 'apps'].flatMap((parent) =>
  readdirSync(local(`./${parent}`)).map((name) => local(`./${parent}/${name}/package.json`)),
);
const exported = createHash('sha256');
for (const manifest of manifests.filter(existsSync)) exported.update(readFileSync(manifest));
const cachePath = local(`./node_modules/.vitest-modules/${exported.digest('hex').slice(0, 16)}`);

export default defineConfig({
  test: {
    reporters: ['default', new SumReporter()],
    // Transformed modules stay on disk between runs; see cachePath below.
    experimental: { fsModuleCache: true, fsModuleCachePath: cachePath },
    projects: Object.entries(projects).map(([name, { include, timeoutMs, test }]) => ({
      resolve: { conditions },
      ssr: { resolve: { conditions } },
      test: {
        name,
        include: [include],
        testTimeout: timeoutMs,
        hookTimeout: timeoutMs,
        pool: 'forks',
        setupFiles: [
          local('./vitest.setup.ts'),
          ...(SEEDED.includes(name) ? [local('./vitest.seed.ts')] : []),
        ],
        ...test,
      },
    })),
  },
});
