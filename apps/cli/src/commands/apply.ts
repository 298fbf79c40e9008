import type { ActionView, ApplyResult, Problem } from '@mvm/agentd-api';
import { fromApiError } from '@mvm/agentd-api';
import { ERROR_CODES } from '@mvm/protocol';
import { Option } from 'commander';
import { formatAddress } from '../address/address.js';
import { readDesiredState } from '../apply/read-document.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { onOneLine } from '../format/control-characters.js';
import { renderDocument } from '../format/documents.js';
import { parseDuration } from '../format/duration.js';
import { renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import type { Invocation } from '../invocation.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { withProgress } from '../progress/with-progress.js';
import { waitForConvergence } from '../wait/wait-for-convergence.js';

const DEFAULT_TIMEOUT_MS = 120_000;

const EXAMPLE_STATE = `A desired state, complete:

  schema_version: 1
  node_id: node-1
  tenants:
    - tenant_id: acme
      network: { tenant_net_id: 3, ipv4_subnet: 10.240.3.0/24 }
      quotas: { max_vcpus: 16, max_mem_mib: 32768, max_running: 8, max_warm: 4,
                max_pools: 4, max_instances_per_pool: 16, max_disk_gib: 100 }
      pools:
        - pool_id: web
          flake_ref: demo            # name of a registered image: mvm image list
          instance_resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 0 }
          desired_counts: { running: 2, warm: 0, sleeping: 1 }`;

/** `mvm apply`. */
export const apply: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command
      .requiredOption('-f, --file <file>', 'YAML or JSON file, or - for standard input')
      .option('--wait', 'wait until the host is as the file says')
      .addOption(
        new Option('--timeout <duration>', 'how long to wait')
          .argParser(parseDuration)
          .default(DEFAULT_TIMEOUT_MS, '2m'),
      );
    addDryRunOption(command);
    completeWith(command, 'none');
    addHelp(
      command,
      `The file is the whole of what this host shall run. Applying the same twice changes nothing.\n\n${EXAMPLE_STATE}`,
      [
        ['mvm apply -f state.yaml --dry-run', 'See what it would do'],
        ['mvm apply -f state.yaml --wait', 'Do it, and wait until everything is so'],
        ['generate-state | mvm apply -f - -o json', 'From a script'],
      ],
    );
  },
  async run(context, invocation) {
    const desired = await readDesiredState(context, invocation.text('file') ?? '-');
    const dryRun = isDryRun(invocation);
    const timeoutMs = invocation.number('timeout') ?? DEFAULT_TIMEOUT_MS;
    const agentd = await context.agentd();
    const result = await withProgress(context, dryRun ? 'planning' : 'applying', () =>
      agentd.putDesired({ body: desired, query: { dry_run: dryRun } }, { signal: context.signal, timeoutMs }),
    );
    await printApplied(context, invocation, result);
    if (dryRun) endDryRun(result);
    if (result.applied && invocation.flag('wait'))
      await waitForConvergence(context, result.revision, timeoutMs);
  },
};

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
