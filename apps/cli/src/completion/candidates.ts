import type { Command, Option } from 'commander';
import type { CompletionKind } from '../command.js';
import { completionKindsOf } from '../help.js';
import { configure } from '../program.js';
import { COMMANDS } from '../registry.js';

/** One line that completion offers. */
export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** What the word at the cursor is; names of objects are looked up by whoever asked. */
export type Completion =
  | { readonly kind: 'candidates'; readonly candidates: readonly Candidate[] }
  | { readonly kind: 'files' }
  | { readonly kind: 'names'; readonly of: Exclude<CompletionKind, 'file' | 'shell' | 'none'> };

const NOTHING: Completion = { kind: 'candidates', candidates: [] };

/** Options whose value is a file. */
const FILE_OPTIONS = new Set([
  '--file',
  '--kernel',
  '--rootfs',
  '--initrd',
  '--socket',
  '--state-dir',
  '--from-file',
]);

/**
 * What may stand where the cursor is. `words` are those after `mvm`, the last one (maybe empty) the one to complete;
 * candidates are not yet filtered by it.
 */
export async function completionFor(program: Command, words: readonly string[]): Promise<Completion> {
  const current = words.at(-1) ?? '';
  let command = program;
  let operands = 0;
  let pending: Option | undefined;
  let onlyOperands = false;
  for (const word of words.slice(0, -1)) {
    if (pending !== undefined) {
      pending = undefined;
    } else if (!onlyOperands && word === '--') {
      onlyOperands = true;
    } else if (!onlyOperands && word.startsWith('-')) {
      pending = takesValue(findOption(command, word)) ? findOption(command, word) : undefined;
    } else {
      const child: Command | undefined = operands === 0 ? findCommand(command, word) : undefined;
      if (child === undefined) operands += 1;
      else {
        command = child;
        await configure(command);
      }
    }
  }
  if (pending !== undefined) return completeValue(pending);
  const inline = !onlyOperands && /^(--[a-z-]+)=/.exec(current);
  if (inline) {
    const option = findOption(command, inline[1] ?? '');
    const values = option === undefined ? NOTHING : completeValue(option);
    return values.kind !== 'candidates'
      ? values
      : candidates(values.candidates.map((each) => ({ ...each, value: `${inline[1]}=${each.value}` })));
  }
  if (!onlyOperands && current.startsWith('-')) return candidates(optionCandidates(command));
  if (command.commands.length > 0) return candidates(commandCandidates(command));
  const kinds = completionKindsOf(command);
  const variadic = command.registeredArguments.at(-1)?.variadic === true;
  const kind = kinds[operands] ?? (variadic ? kinds.at(-1) : undefined);
  switch (kind) {
    case undefined:
    case 'none':
      return NOTHING;
    case 'file':
      return { kind: 'files' };
    case 'shell':
      return candidates(
        (command.registeredArguments[0]?.argChoices ?? []).map((value) => ({ value, description: '' })),
      );
    default:
      return { kind: 'names', of: kind };
  }
}

function candidates(list: readonly Candidate[]): Completion {
  return { kind: 'candidates', candidates: list };
}

function completeValue(option: Option): Completion {
  if (option.long !== undefined && FILE_OPTIONS.has(option.long)) return { kind: 'files' };
  return candidates((option.argChoices ?? []).map((value) => ({ value, description: '' })));
}

function commandCandidates(command: Command): Candidate[] {
  const hidden = new Set(COMMANDS.filter((entry) => entry.hidden).map((entry) => entry.path.join(' ')));
  return command.commands
    .filter((child) => !hidden.has(child.name()))
    .map((child) => ({ value: child.name(), description: child.summary() }));
}

function optionCandidates(command: Command): Candidate[] {
  return optionsOf(command).map((option) => ({
    value: option.long ?? option.short ?? '',
    description: option.description,
  }));
}

function optionsOf(command: Command): Option[] {
  const help = command.createHelp();
  return [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)];
}

function findOption(command: Command, word: string): Option | undefined {
  return optionsOf(command).find((option) => option.long === word || option.short === word);
}

function takesValue(option: Option | undefined): boolean {
  return option !== undefined && (option.required || option.optional);
}

function findCommand(command: Command, word: string): Command | undefined {
  return command.commands.find((child) => child.name() === word || child.aliases().includes(word));
}
