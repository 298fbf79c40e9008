import type { Command } from 'commander';
import type { CliContext } from '../context.js';
import { usageError } from '../errors/usage-error.js';
import { renderDocument, renderDocumentLine } from '../format/documents.js';
import type { Invocation } from '../invocation.js';
import { untilAnswered } from './until-answered.js';

const INTERVAL_MS = 1000;

/** Cursor to the upper left corner; each line erased to its end; everything below erased. */
const HOME = '\u001b[H';
const ERASE_LINE = '\u001b[K';
const ERASE_BELOW = '\u001b[J';
const CLEAR = '\u001b[2J';

/** The option of a command that can go on showing what it shows. */
export function addWatchOption(command: Command): void {
  command.option('-w, --watch', 'go on, and show it again whenever it changes, until Ctrl-C');
}

/** What is watched, and how it is shown. */
export interface Watched<T> {
  /** `kind` of the document that `-o json` and `-o yaml` print. */
  readonly kind: string;
  read(): Promise<T>;
  /** What of a value is shown in a document; when that stays the same, nothing has changed. */
  document(value: T): Readonly<Record<string, unknown>>;
  /** Prints it for people. */
  print(context: CliContext, value: T): Promise<void>;
}

/**
 * Shows a value, once, or with `--watch` until the user breaks off: a terminal is redrawn every second; elsewhere it is
 * printed again when it has changed, `-o json` as one line per change and `-o yaml` as one document per change.
 */
export async function showOrWatch<T>(
  context: CliContext,
  invocation: Invocation,
  watched: Watched<T>,
): Promise<void> {
  const { format } = invocation;
  if (!invocation.flag('watch')) return watched.print(context, await watched.read());
  if (format === 'name') {
    throw usageError(
      '--watch cannot print names only',
      'Leave out -o name, or use -o json and read names from it.',
    );
  }
  const redraws = context.stdout.isTty && format !== 'json' && format !== 'yaml';
  let shown: string | null = null;
  if (redraws) context.stdout.write(CLEAR);
  for (;;) {
    const value = shown === null ? await watched.read() : await untilAnswered(context, () => watched.read());
    const document = watched.document(value);
    const now = JSON.stringify(document);
    // A terminal shows how time passes, too.
    if (redraws) context.stdout.write(redrawn(await textOf(context, value, watched)));
    else if (now !== shown)
      await printChange(context, format, { ...watched, document, value }, shown === null);
    shown = now;
    await context.sleep(INTERVAL_MS);
  }
}

async function printChange<T>(
  context: CliContext,
  format: Invocation['format'],
  { kind, document, value, print }: Omit<Watched<T>, 'document'> & { document: object; value: T },
  isFirst: boolean,
): Promise<void> {
  if (format === 'json') {
    context.stdout.write(renderDocumentLine(kind, { ...document }));
  } else if (format === 'yaml') {
    context.stdout.write(`---\n${await renderDocument(kind, { ...document }, 'yaml')}`);
  } else {
    if (!isFirst) context.stdout.write('\n');
    await print(context, value);
  }
}

/** What printing it would write, messages for people included. */
async function textOf<T>(context: CliContext, value: T, { print }: Watched<T>): Promise<string> {
  let text = '';
  await print(
    {
      ...context,
      stdout: {
        ...context.stdout,
        write: (piece) => {
          text += typeof piece === 'string' ? piece : Buffer.from(piece).toString();
        },
      },
      say: (message) => {
        text += `${message}\n`;
      },
    },
    value,
  );
  return text;
}

function redrawn(text: string): string {
  return `${HOME}${text.replaceAll('\n', `${ERASE_LINE}\n`)}${ERASE_BELOW}`;
}
