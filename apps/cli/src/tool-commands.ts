import { type CommandEntry, reads } from './command-entry.js';

/** Commands that look at the tree of all commands; completion scripts and the build of the documents call them. */
export const TOOL_COMMANDS: readonly CommandEntry[] = [
  reads('__complete', 'Print completions for the words given', () => import('./commands/complete.js'), {
    hidden: true,
  }),
  reads('__reference', 'Print the command reference as Markdown', () => import('./commands/reference.js'), {
    hidden: true,
  }),
  reads('__manual', 'Print the manual pages as JSON', () => import('./commands/manual.js'), { hidden: true }),
];
