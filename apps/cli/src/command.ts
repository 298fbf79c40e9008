import type { Command } from 'commander';
import type { CliContext } from './context.js';
import type { Invocation } from './invocation.js';
import type { OutputFormat } from './output-format.js';

/** One command of the tool: how it is called, and what it does. Each lives in a file of its own. */
export interface CommandModule {
  /** Values of `-o` that the command takes, the default first; empty when it prints no data. */
  readonly formats: readonly OutputFormat[];
  /** Declares arguments, options and the help that teaches. Must not do anything else: completion and docs call it. */
  configure(command: Command): void;
  /** Data goes to stdout, everything else to stderr. What it throws decides the exit code. */
  run(context: CliContext, invocation: Invocation): Promise<void>;
}

/** What completion offers for an argument. */
export type CompletionKind = 'tenant' | 'scope' | 'pool' | 'instance' | 'image' | 'file' | 'shell' | 'none';
