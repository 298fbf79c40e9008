import type { ActionView, ApplyResult, Problem } from '@mvm/agentd-api';
import { fromApiError } from '@mvm/agentd-api';
import { ERROR_CODES } from '@mvm/protocol';
import { formatAddress } from '../address/address.js';
import type { CliContext } from '../context.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { onOneLine } from '../format/control-characters.js';
import { renderDocument } from '../format/documents.js';
import { renderTable } from '../format/table.js';
import type { Invocation } from '../invocation.js';

/** Ends a dry run as the real one would end with `--wait`. */
export function endDryRun(result: ApplyResult): void {
  if (result.plan_error !== null) throw fromApiError(result.plan_error);
  // An operator has to change something first.
  if (result.problems.some(({ kind }) => kind === 'blocked')) {
    throw new ReportedFailure(ERROR_CODES.failed_precondition.exitCode);
  }
}

/** Prints what a state that was put, or planned, leads to. */
export async function printApplied(
  context: CliContext,
  { format }: Invocation,
  result: ApplyResult,
): Promise<void> {
  if (format === 'json' || format === 'yaml') {
    context.stdout.write(await renderDocument('ApplyResult', result, format));
    return;
  }
  if (result.actions.length > 0) context.stdout.write(renderTable(result.actions, actionColumns, false));
  for (const problem of result.problems) context.say(warningOf(context, problem));
  context.say(summaryOf(result));
  if (result.applied && result.plan_error !== null) {
    context.say(`agentd cannot act on it yet: ${onOneLine(result.plan_error.message)}`);
  }
}

const actionColumns = [
  { header: 'ACTION', cell: (action: ActionView) => action.kind.replaceAll('_', '-') },
  {
    header: 'OBJECT',
    cell: (action: ActionView) =>
      action.kind === 'create' ? `${formatAddress(action)}/…` : formatAddress(action),
  },
  { header: 'WHY', cell: (action: ActionView) => action.reason },
];

function warningOf({ errorColours }: CliContext, problem: Problem): string {
  const label = problem.kind === 'blocked' ? 'problem:' : 'note:';
  return `${errorColours.yellow(label)} ${formatAddress(problem)}: ${onOneLine(problem.message)}`;
}

function summaryOf({ applied, actions, revision, plan_error: planError }: ApplyResult): string {
  const count = actions.length === 1 ? '1 action' : `${actions.length} actions`;
  if (!applied)
    return actions.length === 0 && planError === null
      ? 'nothing would change'
      : `${count} would follow; nothing was changed`;
  if (planError !== null) return `revision ${revision} is the desired state`;
  return actions.length === 0
    ? `revision ${revision} is the desired state; nothing to do`
    : `revision ${revision} is the desired state; ${count} to begin with`;
}
