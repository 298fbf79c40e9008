import { imagesDir } from '@mvm/image-store';
import { STATE_DIR } from '@mvm/protocol';
import type { Command } from 'commander';
import type { CliContext } from '../context.js';
import type { Invocation } from '../invocation.js';

/** The option that says where the store is. */
export function addStateDirOption(command: Command): void {
  command.option('--state-dir <dir>', `state directory of hostd (MVM_STATE_DIR; default: ${STATE_DIR})`);
}

/** Root of the image store: below `--state-dir`, else MVM_STATE_DIR, else the default. */
export function storeRoot(context: CliContext, invocation: Invocation): string {
  return imagesDir(stateDir(context, invocation));
}

/** The state directory: the one that was named, else the default. */
export function stateDir(context: CliContext, invocation: Invocation): string {
  return chosenStateDir(context, invocation) ?? STATE_DIR;
}

/** The state directory when the caller named one. */
export function chosenStateDir(context: CliContext, invocation: Invocation): string | undefined {
  return invocation.text('stateDir') ?? (context.env.MVM_STATE_DIR || undefined);
}
