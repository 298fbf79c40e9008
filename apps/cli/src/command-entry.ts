import type { CommandModule } from './command.js';

/** One command of the tool, known by name without loading its code. */
export interface CommandEntry {
  /** Words after `mvm`. */
  readonly path: readonly string[];
  readonly summary: string;
  readonly aliases?: readonly string[];
  /** Left out of help, completion and the reference. */
  readonly hidden?: boolean;
  /** Whether it changes anything, be it for a moment: then it takes `--dry-run`, or registry.test.ts says why not. */
  readonly mutates: boolean;
  readonly load: () => Promise<CommandModule>;
}

/** The module of a command exports the command, and nothing else. */
type CommandFile = () => Promise<Readonly<Record<string, CommandModule>>>;
type More = Pick<CommandEntry, 'aliases' | 'hidden'>;

/** A command that changes nothing; `words` are those after `mvm`. */
export function reads(words: string, summary: string, file: CommandFile, more: More = {}): CommandEntry {
  const load = async () => {
    const [command] = Object.values(await file());
    if (command === undefined) throw new Error(`mvm ${words} has no command`);
    return command;
  };
  return { path: words.split(' '), summary, mutates: false, load, ...more };
}

/** A command that changes something. */
export function changes(words: string, summary: string, file: CommandFile, more: More = {}): CommandEntry {
  return { ...reads(words, summary, file, more), mutates: true };
}
