import type { AgentdClient, CallOptions, OperationResult } from '@mvm/agentd-api';
import { isCodedError, type PlanView } from '@mvm/protocol';
import { type Command, Option } from 'commander';
import { formatAddress, type InstanceAddress } from '../address/address.js';
import type { CliContext } from '../context.js';
import { exitCodeOf } from '../errors/exit-code.js';
import { renderError } from '../errors/render-error.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { renderDocument } from '../format/documents.js';
import { parseDuration } from '../format/duration.js';
import type { Invocation } from '../invocation.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { type ObjectPlan, printPlans } from '../plan/print-plans.js';
import { withProgress } from '../progress/with-progress.js';

/** An operation that is carried out on one instance after the other. */
export interface InstanceOperation {
  /** Shown while it is under way, e.g. `starting`. */
  readonly doing: string;
  /** Printed when it is done, e.g. `started`. */
  readonly done: string;
  /** Waited for on top of --timeout. */
  readonly extraMs?: number;
  readonly call: (
    agentd: AgentdClient,
    params: { tenant: string; pool: string; instance: string },
    options: CallOptions,
    mode: { readonly dry_run: boolean },
  ) => Promise<OperationResult>;
}

const DEFAULT_TIMEOUT_MS = 120_000;

/** The options that every operation takes. */
export function addOperationOptions(command: Command): void {
  addDryRunOption(command);
  command.addOption(
    new Option('--timeout <duration>', 'how long to wait for each instance')
      .argParser(parseDuration)
      .default(DEFAULT_TIMEOUT_MS, '2m'),
  );
}

/**
 * Carries the operation out on each instance in order. A failure with one does not keep the others from their turn;
 * the exit code is the first failure's. A dry run prints the steps instead; then no result is returned.
 */
export async function operate(
  context: CliContext,
  invocation: Invocation,
  addresses: readonly InstanceAddress[],
  operation: InstanceOperation,
): Promise<OperationResult[]> {
  const agentd = await context.agentd();
  const timeoutMs = (invocation.number('timeout') ?? DEFAULT_TIMEOUT_MS) + (operation.extraMs ?? 0);
  const dryRun = isDryRun(invocation);
  const results: OperationResult[] = [];
  const plans: ObjectPlan[] = [];
  let exitCode = 0;
  for (const { tenantId, poolId, instanceId } of addresses) {
    const params = { tenant: tenantId, pool: poolId, instance: instanceId };
    try {
      const text = `${dryRun ? 'planning' : operation.doing} ${tenantId}/${poolId}/${instanceId}`;
      const options = { signal: context.signal, timeoutMs };
      const result = await withProgress(context, text, () =>
        operation.call(agentd, params, options, { dry_run: dryRun }),
      );
      if (result.plan !== null) {
        plans.push(planOf(result, result.plan, operation));
        continue;
      }
      results.push(result);
      if (invocation.format === 'table') context.stdout.write(`${formatAddress(result)} ${operation.done}\n`);
      if (invocation.format === 'name') context.stdout.write(`${formatAddress(result)}\n`);
    } catch (error) {
      if (!isCodedError(error) || context.signal.aborted || addresses.length === 1) throw error;
      const address = `${tenantId}/${poolId}/${instanceId}`;
      context.stderr.write(renderError(error, context.errorColours, address));
      exitCode ||= exitCodeOf(error);
    }
  }
  if (dryRun) await printPlans(context, invocation, 'Instance', plans);
  else if (invocation.format === 'json' || invocation.format === 'yaml') {
    const document = await renderDocument('InstanceOperationList', { items: results }, invocation.format);
    context.stdout.write(document);
  }
  if (exitCode !== 0) throw new ReportedFailure(exitCode);
  return results;
}

function planOf(result: OperationResult, plan: PlanView, { done }: InstanceOperation): ObjectPlan {
  const { tenant_id, pool_id, instance_id } = result;
  return {
    name: formatAddress(result),
    outcome: `would be ${done}`,
    plan,
    identity: { tenant_id, pool_id, instance_id },
  };
}
