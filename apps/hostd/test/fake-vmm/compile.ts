import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');

/**
 * Makes the fake VMM and the hostd that runs it programs that Node.js runs: their own files translated, hostd's out of
 * the build. Answers the path of that hostd. Throws when hostd is not built.
 */
export function compileFakeVmm(): string {
  const dist = join(root, 'dist');
  readFileSync(join(dist, 'daemon.js'));
  const outDir = join(root, '.test-results/fake-vmm');
  mkdirSync(outDir, { recursive: true });
  const put = (name: string, text: string): void => {
    // Another run may be reading it.
    const temporary = join(outDir, `${name}.${process.pid}`);
    writeFileSync(temporary, text);
    renameSync(temporary, join(outDir, name));
  };
  for (const name of ['driver', 'hostd', 'vmm']) {
    const { outputText } = ts.transpileModule(readFileSync(join(here, `${name}.ts`), 'utf8'), {
      compilerOptions: {
        module: ts.ModuleKind.ESNext,
        target: ts.ScriptTarget.ES2023,
        verbatimModuleSyntax: true,
      },
    });
    put(`${name}.js`, outputText.replaceAll("'../../src/", `'${pathToFileURL(dist).href}/`));
  }
  return join(outDir, 'hostd.js');
}
