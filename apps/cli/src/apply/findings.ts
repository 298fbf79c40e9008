import { CodedError } from '@mvm/protocol';
import { type Document, isMap, isNode, isPair, isScalar, type LineCounter, type Node } from 'yaml';

/** Something wrong in a file, and where. Lines and columns count from 1. */
export interface Finding {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  readonly path?: readonly PropertyKey[];
  readonly message: string;
}

/** As many findings as an error lists. */
const MAX_LISTED = 10;

/** All findings as one error; each line is `file:line:column: path: message`, which editors make clickable. */
export function findingsError(
  reason: 'apply.syntax' | 'apply.invalid',
  findings: readonly Finding[],
): CodedError {
  const lines = findings.slice(0, MAX_LISTED).map(renderFinding);
  if (findings.length > MAX_LISTED) lines.push(`and ${findings.length - MAX_LISTED} more`);
  const [first] = findings;
  return new CodedError({
    code: 'invalid_argument',
    reason,
    message:
      lines.length > 1
        ? `${first?.file ?? 'the file'} cannot be applied:\n${lines.join('\n')}`
        : (lines[0] ?? ''),
    details: { file: first?.file ?? null, line: first?.line ?? null, findings: findings.length },
    hint:
      reason === 'apply.syntax'
        ? 'the file must be one YAML or JSON document in UTF-8'
        : 'docs/protocol.md#desired-state describes every field; "mvm apply --help" has an example',
  });
}

/** Line and column of the value at `path`, or of the nearest thing around it that is there. */
export function locate(
  document: Document,
  lines: LineCounter,
  path: readonly PropertyKey[],
): { line: number; column: number } | undefined {
  let node: unknown = document.contents;
  let best: Node | undefined = isNode(node) ? node : undefined;
  for (const [index, step] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step));
      if (pair === undefined) break;
      // The last step points at the key: it is what a reader looks for, and a value may be missing.
      const last = index === path.length - 1 || !isNode(pair.value);
      if (isNode(pair.key)) best = pair.key;
      if (last) break;
      node = pair.value;
    } else {
      const child = document.getIn(path.slice(0, index + 1), true);
      if (!isNode(child) || isPair(child)) break;
      node = child;
      best = child;
    }
  }
  if (best?.range == null) return undefined;
  const { line, col } = lines.linePos(best.range[0]);
  return { line, column: col };
}

/** `tenants[0].pools[1].pool_id`. */
function renderPath(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '');
}

function renderFinding({ file, line, column, path = [], message }: Finding): string {
  const place = [file, line, column].filter((part) => part !== undefined).join(':');
  return [place, ...(path.length > 0 ? [renderPath(path)] : []), message].join(': ');
}
