import type { CommandEntry } from './command-entry.js';

/** Commands that look at the tree of all commands; completion scripts and the build of the documents call them. */
export const TOOL_COMMANDS: readonly CommandEntry[] = [
  {
    path: ['__complete'],
    summary: 'Print completions for the words given',
    hidden: true,
    mutates: false,
    load: async () => (await import('./commands/complete.js')).complete,
  },
  {
    path: ['__reference'],
    summary: 'Print the command reference as Markdown',
    hidden: true,
    mutates: false,
    load: async () => (await import('./commands/reference.js')).reference,
  },
  {
    path: ['__manual'],
    summary: 'Print the manual pages as JSON',
    hidden: true,
    mutates: false,
    load: async () => (await import('./commands/manual.js')).manual,
  },
];
