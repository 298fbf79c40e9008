import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The commands of docs/install.md: the first code block below a heading of the second level. Throws when there is none.
 */
export async function installCommands(repo: string, heading: string): Promise<string> {
  const text = await readFile(join(repo, 'docs/install.md'), 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  const block = /^```sh\n([\s\S]*?)^```$/m.exec(section ?? '')?.[1];
  if (block === undefined) throw new Error(`docs/install.md has no commands below "${heading}"`);
  return block;
}

/** The same as docs/install.md says it: a table of exposure levels by `systemd-analyze security`. */
export async function documentedExposure(repo: string): Promise<Record<string, number>> {
  const text = await readFile(join(repo, 'docs/install.md'), 'utf8');
  const rows = [...text.matchAll(/^\| `(mvm-[a-z]+\.service)` \| (\d+\.\d) \|/gm)];
  return Object.fromEntries(rows.map(([, unit, exposure]) => [unit, Number(exposure)]));
}
