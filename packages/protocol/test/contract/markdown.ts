import { readFileSync } from 'node:fs';
import { repositoryPath } from './golden-files.js';

/** A fenced block of a document, with the words after its opening fence. */
export interface Example {
  readonly language: string;
  readonly kind: string;
  readonly text: string;
  /** For a failing test: file and line. */
  readonly at: string;
}

/** The document's text. `path` is relative to the repository. */
function readDocument(path: string): string {
  return readFileSync(repositoryPath(path), 'utf8');
}

/** Every fenced block of a document. */
export function examplesOf(path: string): Example[] {
  const examples: Example[] = [];
  const text = readDocument(path);
  for (const match of text.matchAll(/^```(\w+)(?: ([\w-]+))?\n([\s\S]*?)^```$/gm)) {
    const line = text.slice(0, match.index).split('\n').length;
    examples.push({
      language: match[1] ?? '',
      kind: match[2] ?? '',
      text: match[3] ?? '',
      at: `${path}:${line}`,
    });
  }
  return examples;
}

/** The rows of the tables under a heading: cells without back quotes. Header and ruler are left out. */
export function tableRows(path: string, heading: string): string[][] {
  const text = readDocument(path);
  const start = text.indexOf(`\n## ${heading}\n`);
  if (start < 0) throw new Error(`${path} has no heading "${heading}"`);
  const end = text.indexOf('\n## ', start + 1);
  const lines = text.slice(start, end < 0 ? undefined : end).split('\n');
  const rows = lines.filter((line) => line.startsWith('|')).map((line) => line.split('|').slice(1, -1));
  return rows
    .map((cells) => cells.map((cell) => cell.trim().replaceAll('`', '')))
    .filter((_cells, i) => i > 1);
}
