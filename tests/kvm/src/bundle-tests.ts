import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { rolldown } from 'rolldown';

/** A test file that is ready to run without a transform. */
export interface TestBundle {
  /** e.g. `hostd-lifecycle`: package and file. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  /** Of its source, from the repository's root. */
  readonly source: string;
}

export interface Bundles {
  /** The program that runs a bundle. */
  readonly runner: string;
  readonly tests: readonly TestBundle[];
}

/** Tests are `test/kvm/*.test.ts` of a package, benchmarks `bench/kvm/*.ts`. */
export type Kind = 'test' | 'bench';

const local = (path: string): string => join(import.meta.dirname, '..', path);

/**
 * Bundles every file of a kind in the workspace whose name contains one of `names` (all when there is none) into
 * `tests/kvm/bundle`. That directory is as deep in the repository as a package's `src`, so that paths which helpers find
 * relative to their own file stay right.
 */
export async function bundleTests(repo: string, kind: Kind, names: readonly string[]): Promise<Bundles> {
  const tests = (await findTests(repo, kind)).filter(
    ({ name }) => names.length === 0 || names.some((part) => name.includes(part)),
  );
  const outDir = local('bundle');
  await rm(outDir, { recursive: true, force: true });
  const bundle = await rolldown({
    input: {
      'run-bundle': local('src/in-machine/run-bundle.ts'),
      ...Object.fromEntries(tests.map(({ source, name }) => [name, join(repo, source)])),
    },
    platform: 'node',
    external: ['koffi'],
    resolve: {
      conditionNames: ['@mvm/source', 'node', 'import', 'module', 'default'],
      extensionAlias: { '.js': ['.ts', '.js'] },
      alias: { vitest: local('src/in-machine/vitest.ts') },
    },
  });
  try {
    await bundle.write({
      dir: outDir,
      format: 'esm',
      entryFileNames: '[name].js',
      chunkFileNames: 'chunk-[hash].js',
    });
  } finally {
    await bundle.close();
  }
  return {
    runner: join(outDir, 'run-bundle.js'),
    tests: tests.map((test) => ({ ...test, path: join(outDir, `${test.name}.js`) })),
  };
}

/** `apps/hostd/test/kvm/lifecycle.test.ts` is named `hostd-lifecycle`. */
async function findTests(repo: string, kind: Kind): Promise<{ name: string; source: string }[]> {
  const list = (path: string): Promise<string[]> => readdir(join(repo, path)).catch(() => []);
  const ending = kind === 'test' ? '.test.ts' : '.ts';
  const found: { name: string; source: string }[] = [];
  for (const parent of ['apps', 'packages', 'tests']) {
    for (const package_ of (await list(parent)).sort()) {
      const directory = join(parent, package_, kind, 'kvm');
      for (const file of (await list(directory)).filter((name) => name.endsWith(ending)).sort())
        found.push({ name: `${package_}-${basename(file, ending)}`, source: join(directory, file) });
    }
  }
  return found;
}
