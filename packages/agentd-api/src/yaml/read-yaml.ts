import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  parseAllDocuments,
} from 'yaml';

/** Something that cannot be read, and where; lines and columns count from 1. */
export interface YamlFinding {
  readonly line?: number;
  readonly column?: number;
  readonly message: string;
}

/** What a document says, or what is wrong with it. */
export type YamlReading =
  | { readonly value: unknown; readonly document: Document; readonly lines: LineCounter }
  | { readonly findings: readonly YamlFinding[] };

/** What aliases may make of a document when each is written out: nodes, and characters of its scalars. */
const MAX_EXPANDED_NODES = 1_000_000;
const MAX_EXPANDED_CHARACTERS = 64 * 1024 * 1024;

/**
 * One document of YAML 1.2 or JSON as plain data. Anchors may be used as often as one likes, as long as what they expand
 * to is bounded; merge keys (`<<`) are taken; fields of the top level that begin with `x-` are for the writer and left
 * out. Empty documents after the first, as a trailing `---` makes one, are none. What is not understood is a finding and
 * never a value: unknown tags, duplicate keys, a second document, an empty file. Never throws.
 */
export function readYaml(text: string): YamlReading {
  try {
    return read(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { findings: [{ message: 'it is nested too deeply' }] };
  }
}

function read(text: string): YamlReading {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    merge: true,
  }) as Document[];
  const at = (offset: number): Pick<YamlFinding, 'line' | 'column'> => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const wrong = documents.flatMap(({ errors, warnings }) => [...errors, ...warnings]);
  if (wrong.length > 0) {
    return { findings: wrong.map(({ pos, message }) => ({ ...at(pos[0]), message: firstLine(message) })) };
  }
  const [document, second] = documents.filter(isWritten);
  if (document === undefined) return { findings: [{ message: 'the file is empty' }] };
  if (second !== undefined) {
    const { line } = at(second.range?.[0] ?? 0);
    const message = 'a second document starts here; one file holds one desired state';
    return { findings: [{ ...(line === undefined ? {} : { line }), message }] };
  }
  const tooMuch = findExpansion(document);
  if (tooMuch !== null) {
    const { node, message } = tooMuch;
    return { findings: [{ ...(node.range == null ? {} : at(node.range[0])), message }] };
  }
  try {
    return { value: withoutExtensions(document.toJS({ maxAliasCount: -1 })), document, lines };
  } catch (error) {
    return { findings: [{ message: error instanceof Error ? firstLine(error.message) : 'cannot be read' }] };
  }
}

/** Whether there is anything in it but markers and comments. An explicit `null` is something. */
function isWritten({ contents }: Document): boolean {
  if (contents === null) return false;
  return !isScalar(contents) || contents.value !== null || contents.source !== '';
}

function withoutExtensions(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('x-')));
}

interface Size {
  readonly nodes: number;
  readonly characters: number;
}

/** The first alias that makes the document too large, or that contains itself. What is aliased is measured once. */
function findExpansion(document: Document): { node: Node; message: string } | null {
  const sizes = new Map<unknown, Size | 'open'>();
  // The nodes with anchors, as far as the walk has come: an alias stands for the last one before it.
  const anchors = new Map<string, Node>();
  let found: { node: Node; message: string } | null = null;
  const measure = (node: unknown): Size => {
    if (isPair(node)) return sum([measure(node.key), measure(node.value)]);
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      const known = sizes.get(target);
      if (known === 'open') {
        found ??= { node, message: `the alias *${node.source} contains itself` };
        return { nodes: 1, characters: 0 };
      }
      const size = target === undefined ? { nodes: 1, characters: 0 } : measure(target);
      if (isTooMuch(size)) found ??= { node, message: tooMuch(node.source) };
      return size;
    }
    const known = sizes.get(node);
    if (known !== undefined && known !== 'open') return known;
    if (isNode(node) && 'anchor' in node && node.anchor !== undefined) anchors.set(node.anchor, node);
    sizes.set(node, 'open');
    const size = isCollection(node)
      ? sum([{ nodes: 1, characters: 0 }, ...node.items.map(measure)])
      : { nodes: 1, characters: isScalar(node) ? String(node.value).length : 0 };
    sizes.set(node, size);
    if (isTooMuch(size) && isMap(node)) found ??= { node, message: tooMuch() };
    return size;
  };
  const whole = measure(document.contents);
  if (found === null && isTooMuch(whole) && document.contents !== null) {
    return { node: document.contents as Node, message: tooMuch() };
  }
  return found;
}

function sum(sizes: readonly Size[]): Size {
  let [nodes, characters] = [0, 0];
  for (const size of sizes) {
    nodes += size.nodes;
    characters += size.characters;
  }
  return { nodes, characters };
}

function isTooMuch({ nodes, characters }: Size): boolean {
  return nodes > MAX_EXPANDED_NODES || characters > MAX_EXPANDED_CHARACTERS;
}

function tooMuch(alias?: string): string {
  const what = alias === undefined ? 'the aliases here' : `the alias *${alias}`;
  return `${what} expand to more than ${MAX_EXPANDED_NODES} values or ${MAX_EXPANDED_CHARACTERS} characters`;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}
