import type { CodedError } from '@mvm/protocol';
import type { Colours } from '../format/colours.js';
import { onOneLine, stripControlCharacters } from '../format/control-characters.js';

/** As many console lines as an error ends with. */
const MAX_CONSOLE_LINES = 15;

/**
 * An error for people: what happened and to which object, the reason to search for, what to do next, and the guest's
 * last words where there are any. `about` is the object, for a call about several, unless the message names it. Everything that came from elsewhere is stripped of control characters.
 */
export function renderError(error: CodedError, colours: Colours, about?: string): string {
  const object = about === undefined || error.message.includes(about) ? '' : `${about}: `;
  const lines = [`${colours.red(colours.bold('error:'))} ${indented(object + error.message, 7)}`];
  lines.push(`${colours.dim('reason:')} ${onOneLine(error.reason)} ${colours.dim(`(${error.code})`)}`);
  if (error.hint !== undefined && error.hint !== '') {
    lines.push(`${colours.cyan('hint:')} ${indented(error.hint, 6)}`);
  }
  const tail = error.details.console_tail;
  if (typeof tail === 'string' && tail.trim() !== '')
    lines.push('console:', ...renderConsoleTail(tail, colours));
  return `${lines.join('\n')}\n`;
}

/** The last lines of a console, marked as quoted. */
export function renderConsoleTail(tail: string, colours: Colours): string[] {
  const lines = stripControlCharacters(tail).trimEnd().split('\n').slice(-MAX_CONSOLE_LINES);
  return lines.map((line) => `  ${colours.dim('|')} ${line}`.trimEnd());
}

function indented(text: string, by: number): string {
  return stripControlCharacters(text)
    .trimEnd()
    .replace(/\n/g, `\n${' '.repeat(by)}`);
}
