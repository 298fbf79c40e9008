import type { Command } from 'commander';
import type { CompletionKind } from './command.js';

/** One line of an examples section: what to type, and what that does. */
export type Example = readonly [line: string, does: string];

/** Adds a paragraph and examples to a command's help. */
export function addHelp(command: Command, text: string, examples: readonly Example[]): void {
  const lines = examples.flatMap(([line, does]) => [`  # ${does}`, `  ${line}`, '']);
  const paragraph = text === '' ? '' : `\n${text}\n`;
  help.set(command, { text, examples });
  command.addHelpText('after', `${paragraph}\nExamples:\n${lines.join('\n').trimEnd()}\n`);
}

/** What {@link addHelp} was told, for the reference. */
export function lessonOf(command: Command): { text: string; examples: readonly Example[] } | undefined {
  return help.get(command);
}

/** Says what completion offers for the command's arguments, by position; the last one repeats when variadic. */
export function completeWith(command: Command, ...kinds: readonly CompletionKind[]): void {
  completions.set(command, kinds);
}

export function completionKindsOf(command: Command): readonly CompletionKind[] {
  return completions.get(command) ?? [];
}

const help = new WeakMap<Command, { text: string; examples: readonly Example[] }>();
const completions = new WeakMap<Command, readonly CompletionKind[]>();
