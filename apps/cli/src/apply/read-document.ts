import { readFile, stat } from 'node:fs/promises';
import { CodedError, desiredStateSchema } from '@mvm/protocol';
import { type Document, LineCounter, parseAllDocuments } from 'yaml';
import type { z } from 'zod';
import type { CliContext } from '../context.js';
import { type Finding, findingsError, locate } from './findings.js';

/** A desired state as it may be written: fields with defaults may be absent. */
export type WrittenDesiredState = z.input<typeof desiredStateSchema>;

/** Largest desired state that is read, in bytes. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

/**
 * A desired state from a file, or from stdin for `-`: YAML 1.2 or JSON, exactly one document, valid by the schema.
 * Returned as it was written, without defaults filled in.
 *
 * Errors: `invalid_argument` (`apply.file_unreadable`, `apply.syntax`, `apply.invalid`, `apply.too_large`) with file,
 * line and path of each finding; `permission_denied` (`apply.file_unreadable`).
 */
export async function readDesiredState(context: CliContext, file: string): Promise<WrittenDesiredState> {
  const name = file === '-' ? '<stdin>' : file;
  const bytes = file === '-' ? await context.readStdin(MAX_DOCUMENT_BYTES) : await readBounded(file);
  if (bytes === 'tooLarge') {
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'apply.too_large',
      message: `${name} has more than ${MAX_DOCUMENT_BYTES} bytes`,
      hint: 'a desired state describes one host; check that this is the right file',
    });
  }
  return parseDocument(name, bytes);
}

/** The parsing half of {@link readDesiredState}; `name` is what findings call the file. */
export function parseDocument(name: string, bytes: Uint8Array): WrittenDesiredState {
  const text = decode(name, bytes);
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const [document, second] = documents;
  if (document === undefined || document.contents === null) {
    throw findingsError('apply.syntax', [{ file: name, message: 'the file is empty' }]);
  }
  const errors = documents.flatMap((each) => each.errors);
  if (errors.length > 0) {
    const findings = errors.map((error): Finding => {
      const { line, col } = lines.linePos(error.pos[0]);
      return { file: name, line, column: col, message: firstLine(error.message) };
    });
    throw findingsError('apply.syntax', findings);
  }
  if (second !== undefined) {
    const { line } = lines.linePos(second.range[0]);
    const message = 'a second document starts here; one file holds one desired state';
    throw findingsError('apply.syntax', [{ file: name, line, message }]);
  }
  return validate(name, document, lines);
}

function validate(name: string, document: Document, lines: LineCounter): WrittenDesiredState {
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const message = error instanceof Error ? firstLine(error.message) : 'cannot be read';
    throw findingsError('apply.syntax', [{ file: name, message }]);
  }
  const result = desiredStateSchema.safeParse(value);
  if (result.success) return value as WrittenDesiredState;
  const findings = result.error.issues.flatMap((issue): Finding[] => {
    const paths =
      issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [[...issue.path]];
    return paths.map((path) => {
      const message = issue.code === 'unrecognized_keys' ? 'there is no such field' : issue.message;
      return { file: name, ...locate(document, lines, path), path, message };
    });
  });
  throw findingsError('apply.invalid', findings);
}

function decode(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw findingsError('apply.syntax', [{ file: name, message: 'the file is not UTF-8 text' }]);
  }
}

async function readBounded(file: string): Promise<Uint8Array | 'tooLarge'> {
  try {
    const found = await stat(file);
    if (found.isFile() && found.size > MAX_DOCUMENT_BYTES) return 'tooLarge';
    return await readFile(file);
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code;
    const why: Readonly<Record<string, string>> = {
      ENOENT: 'there is no such file',
      EISDIR: 'it is a directory',
      EACCES: 'permission denied',
    };
    throw new CodedError({
      code: errno === 'EACCES' ? 'permission_denied' : 'invalid_argument',
      reason: 'apply.file_unreadable',
      message: `cannot read ${file}: ${why[errno ?? ''] ?? errno ?? String(error)}`,
      hint: 'pass the path of a YAML or JSON file, or - for standard input',
      cause: error,
    });
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}
