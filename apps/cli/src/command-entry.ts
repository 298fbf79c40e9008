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
