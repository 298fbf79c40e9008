import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));
const LEVELS = ['info', 'warn', 'error', 'fatal'];
const REASON = /^[a-z_]+\.[a-z_]+$/;
const FILE_NAME =
  /\.(json|yaml|lock|log|sock|toml|head|disk|copy|env|procs|controllers|kill|subtree_control)$/;

/**
 * The syntax trees of a directory's TypeScript files, tests left out.
 * @param {string} dir below the repository's root
 * @returns {ts.SourceFile[]}
 */
function parsed(dir) {
  return readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => {
      const text = readFileSync(join(root, dir, name), 'utf8');
      return ts.createSourceFile(join(dir, name), text, ts.ScriptTarget.Latest, true);
    });
}

/** @param {ts.Node} node @param {(node: ts.Node) => void} visit */
function everyNode(node, visit) {
  visit(node);
  ts.forEachChild(node, (child) => everyNode(child, visit));
}

/**
 * The messages that the sources of these directories log at `info` and above, sorted. A message that is no literal is
 * an error: it could not be looked up.
 * @param {string[]} dirs
 * @returns {string[]}
 */
export function loggedMessages(dirs) {
  const messages = new Set();
  for (const source of dirs.flatMap(parsed)) {
    everyNode(source, (node) => {
      if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return;
      if (!LEVELS.includes(node.expression.name.text)) return;
      if (!/(log|logger)$/.test(node.expression.expression.getText())) return;
      const message = node.arguments.find((argument) => ts.isStringLiteralLike(argument));
      if (message === undefined)
        throw new Error(`${source.fileName}: ${node.getText()} logs no constant message`);
      messages.add(/** @type {ts.StringLiteralLike} */ (message).text);
    });
  }
  return [...messages].sort();
}

/**
 * The reasons (`<area>.<what>`) that stand as literals in the sources of these directories, each with the codes that
 * stand beside it (none where the code is chosen elsewhere). Kinds of steps look the same and are told apart by `kind`.
 * @param {string[]} dirs
 * @returns {Map<string, Set<string>>}
 */
export function reasonsInSources(dirs) {
  const sources = dirs.flatMap(parsed);
  /** @type {Map<string, Set<string>>} */
  const named = new Map();
  const kinds = new Set();
  for (const source of sources) {
    everyNode(source, (node) => {
      if (isNamed(node, 'kind')) for (const text of literals(node)) kinds.add(text);
      if (!isNamed(node, 'reason')) return;
      const codes = ts.isObjectLiteralExpression(node.parent) ? codesOf(node.parent) : [];
      for (const text of literals(node)) named.set(text, new Set([...(named.get(text) ?? []), ...codes]));
    });
  }
  const areas = new Set([...named.keys()].map((reason) => reason.split('.')[0]));
  for (const source of sources) {
    everyNode(source, (node) => {
      if (!ts.isStringLiteralLike(node) || !REASON.test(node.text) || FILE_NAME.test(node.text)) return;
      // A field of a document, e.g. `restart.max_retries`.
      if (ts.isPropertyAssignment(node.parent) && node.parent.name === node) return;
      if (named.has(node.text) || kinds.has(node.text) || !areas.has(node.text.split('.')[0])) return;
      named.set(node.text, new Set());
    });
  }
  return named;
}

/** @param {ts.Node} node @param {string} name @returns {node is ts.PropertyAssignment | ts.PropertySignature} */
function isNamed(node, name) {
  return (ts.isPropertyAssignment(node) || ts.isPropertySignature(node)) && node.name.getText() === name;
}

/** Literals of the form of a reason inside a property. @param {ts.Node} node @returns {string[]} */
function literals(node) {
  /** @type {string[]} */
  const found = [];
  everyNode(node, (part) => {
    if (ts.isStringLiteralLike(part) && REASON.test(part.text)) found.push(part.text);
  });
  return found;
}

/** The one literal code of an error's fields. @param {ts.ObjectLiteralExpression} fields @returns {string[]} */
function codesOf(fields) {
  const code = fields.properties.find((property) => property.name?.getText() === 'code');
  if (code === undefined || !ts.isPropertyAssignment(code)) return [];
  return ts.isStringLiteralLike(code.initializer) ? [code.initializer.text] : [];
}
