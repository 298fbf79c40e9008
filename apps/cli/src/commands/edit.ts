import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { desiredStateSchema } from '@mvm/protocol/schemas';
import { changeColumns } from '../apply/change-columns.js';
import { currentDesired } from '../apply/current-desired.js';
import { diffDesired } from '../apply/diff-desired.js';
import { endDryRun, printApplied } from '../apply/print-applied.js';
import { parseDocument } from '../apply/read-document.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { renderData } from '../format/documents.js';
import { renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';

/** `mvm edit`. */
export const edit: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    addDryRunOption(command);
    completeWith(command, 'none');
    addHelp(
      command,
      'Opens the desired state in force in an editor (VISUAL, EDITOR, else vi) and applies what you save. What is not valid,\nor was changed by somebody else in the meantime, is refused, and your text is kept in a file.',
      [
        ['mvm edit', 'Edit and apply'],
        ['EDITOR="code --wait" mvm edit --dry-run', 'See what an edit would lead to'],
      ],
    );
  },
  async run(context, invocation) {
    const before = await currentDesired(context);
    const directory = await mkdtemp(join(tmpdir(), 'mvm-edit-'));
    const file = join(directory, 'desired.yaml');
    let isKept = true;
    try {
      const text = await renderData(before.desired, 'yaml');
      await writeFile(file, text, { mode: 0o600 });
      await openEditor(context, file);
      const edited = await readFile(file);
      const body = desiredStateSchema.parse(parseDocument(file, edited));
      const changes = diffDesired(before.desired, body);
      if (changes.length === 0) {
        isKept = false;
        context.say('nothing was changed');
        return;
      }
      context.say(renderTable(changes, changeColumns, false).trimEnd());
      const { revision } = await currentDesired(context);
      if (revision !== before.revision) throw changedMeanwhile();
      const agentd = await context.agentd();
      const dryRun = isDryRun(invocation);
      const query = { dry_run: dryRun };
      const result = await agentd.putDesired({ body, query }, { signal: context.signal });
      isKept = dryRun;
      await printApplied(context, invocation, result);
      if (dryRun) endDryRun(result);
    } finally {
      if (isKept) context.say(`your text is kept: mvm apply -f ${file}`);
      else await rm(directory, { recursive: true, force: true });
    }
  },
};

async function openEditor(context: CliContext, file: string): Promise<void> {
  const [program = 'vi', ...args] = (context.env.VISUAL || context.env.EDITOR || 'vi').trim().split(/\s+/);
  // Ctrl-C belongs to the editor while it runs.
  const giveBack = context.takeSignals(['SIGINT', 'SIGQUIT'], () => {});
  try {
    const child = spawn(program, [...args, file], { stdio: 'inherit' });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject).once('exit', resolve);
    });
    if (code !== 0) throw editorFailed(`${program} ended with ${code ?? 'a signal'}`);
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw editorFailed(`${program} cannot be run: ${error instanceof Error ? error.message : error}`);
  } finally {
    giveBack();
  }
}

function editorFailed(message: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'edit.editor_failed',
    message: `nothing was applied: ${message}`,
    hint: 'Set EDITOR to an editor that waits until the file is closed.',
  });
}

function changedMeanwhile(): CodedError {
  return new CodedError({
    code: 'aborted',
    reason: 'edit.changed_meanwhile',
    message: 'the desired state was changed while you edited it; nothing was applied',
    hint: 'Compare your text with the present state: mvm diff -f <file>; then apply it, or edit again.',
  });
}
