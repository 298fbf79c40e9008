import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { readYaml, type YamlReading } from '@mvm/agentd-api/yaml';
import { CodedError } from '@mvm/protocol';
import { desiredStateSchema } from '@mvm/protocol/schemas';
import { findUnreachableCounts } from '@mvm/protocol/state';
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
  const reading = readYaml(text);
  if ('findings' in reading) {
    throw findingsError(
      'apply.syntax',
      reading.findings.map((finding): Finding => ({ file: name, ...finding })),
    );
  }
  return validate(name, reading);
}

function validate(
  name: string,
  { value, document, lines }: Exclude<YamlReading, { findings: unknown }>,
): WrittenDesiredState {
  const result = desiredStateSchema.safeParse(value);
  if (result.success) {
    const unreachable = findUnreachableCounts(result.data).map(
      ({ path, message }): Finding => ({ file: name, ...locate(document, lines, path), path, message }),
    );
    if (unreachable.length > 0) throw findingsError('apply.invalid', unreachable);
    return value as WrittenDesiredState;
  }
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
    if (!found.isFile() && !found.isFIFO() && !found.isDirectory()) return notAFile(file);
    if (found.isFIFO()) return await readPipe(file);
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

function notAFile(file: string): never {
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'apply.file_unreadable',
    message: `cannot read ${file}: it is neither a file nor a pipe`,
    hint: 'pass the path of a YAML or JSON file, or - for standard input',
  });
}

/** What a writer sends into a pipe, as `<(generate-state)` makes one. */
async function readPipe(file: string): Promise<Uint8Array | 'tooLarge'> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of createReadStream(file)) {
    pieces.push(piece);
    size += piece.length;
    if (size > MAX_DOCUMENT_BYTES) return 'tooLarge';
  }
  return Buffer.concat(pieces);
}
