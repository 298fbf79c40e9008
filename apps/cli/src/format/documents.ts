import type { OutputFormat } from '../output-format.js';

/** Version of what `-o json` and `-o yaml` print: fields are added to it, never renamed or removed. */
const API_VERSION = 'mvm/v1';

/** A value as `-o json` or `-o yaml` prints it, with `apiVersion` and `kind` first; ends with a line feed. */
export async function renderDocument(
  kind: string,
  value: Readonly<Record<string, unknown>>,
  format: Extract<OutputFormat, 'json' | 'yaml'>,
): Promise<string> {
  return renderData({ apiVersion: API_VERSION, kind, ...value }, format);
}

/** A value as JSON or YAML without anything that a terminal acts on; ends with a line feed. */
export async function renderData(
  document: Readonly<Record<string, unknown>>,
  format: Extract<OutputFormat, 'json' | 'yaml'>,
): Promise<string> {
  if (format === 'json') return `${escapeControls(JSON.stringify(document, null, 2))}\n`;
  const { stringify } = await import('yaml');
  // Whatever YAML would print raw and a terminal might act on goes out as an escape in double quotes.
  const text = stringify(document, (_key, entry: unknown) => entry, {
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
  return UNSAFE.test(text.replaceAll('\n', ''))
    ? escapeControls(
        stringify(document, {
          lineWidth: 0,
          aliasDuplicateObjects: false,
          defaultStringType: 'QUOTE_DOUBLE',
        }),
      )
    : text;
}

/** The same as one line of JSON, for output that goes on; ends with a line feed. */
export function renderDocumentLine(kind: string, value: Readonly<Record<string, unknown>>): string {
  return `${escapeControls(JSON.stringify({ apiVersion: API_VERSION, kind, ...value }))}\n`;
}

/** Control characters that JSON and YAML allow unescaped but terminals act on, and those that reorder text. */
const UNSAFE = /[\p{Cc}\p{Bidi_Control}]/u;

/** Inside JSON's and YAML's double quotes, `\uXXXX` stands for the same character. */
function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, (char) =>
    char === '\n' ? char : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
