import type { Command } from 'commander';
import type { Invocation } from '../invocation.js';

/** The option of every command that changes something. */
export function addDryRunOption(command: Command): void {
  command.option('--dry-run', 'only show the steps that it would take; what would be refused is refused');
}

/** Whether nothing is to be changed. */
export function isDryRun(invocation: Invocation): boolean {
  return invocation.flag('dryRun');
}
