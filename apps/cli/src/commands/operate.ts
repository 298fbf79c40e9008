import type { CallOptions, OperationResult, operationRoutes } from '@mvm/agentd-api';
import { isCodedError, type PlanView } from '@mvm/protocol';
import { type Command, Option } from 'commander';
import { formatAddress, type InstanceAddress } from '../address/address.js';
import { resolveInstances } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { exitCodeOf } from '../errors/exit-code.js';
import { renderError } from '../errors/render-error.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { renderDocument } from '../format/documents.js';
import { parseDuration } from '../format/duration.js';
import { addHelp, completeWith, type Example } from '../help.js';
import type { Invocation } from '../invocation.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { type ObjectPlan, printPlans } from '../plan/print-plans.js';
import { withProgress } from '../progress/with-progress.js';
import { addHoldOption, holdQuery, sayHolds } from './hold-option.js';

/** A command that carries one operation out on each of its instances. */
export interface OperatingCommand {
  /** The route of agentd's API that carries it out. */
  readonly route: keyof typeof operationRoutes;
  /** Shown while it is under way, e.g. `starting`. */
  readonly doing: string;
  /** Printed when it is done, e.g. `started`. */
  readonly done: string;
  /** Paragraph and examples of its help. */
  readonly text: string;
  readonly examples: readonly Example[];
  /** Options of its own, before those that every operation has. */
  readonly addOptions?: (command: Command) => void;
  /** What its options are in the request, and what is waited for on top of --timeout. */
  readonly input?: (invocation: Invocation) => OperationInput;
  /** After it, agentd leaves the instance alone for a while: how that is said, and which command ends it. */
  readonly hold?: { readonly state: string; readonly undo: string };
  /** Runs before the first request; throws when there should be none. */
  readonly before?: (
    context: CliContext,
    invocation: Invocation,
    addresses: readonly InstanceAddress[],
  ) => Promise<void>;
}

export interface OperationInput {
  readonly query?: object;
  readonly body?: object;
  readonly extraMs?: number;
  /** In place of the command's. */
  readonly doing?: string;
}

type Call = (
  input: { readonly params: object; readonly query: object; readonly body?: object },
  options: CallOptions,
) => Promise<OperationResult>;

const DEFAULT_TIMEOUT_MS = 120_000;

/** The command of an operation: `mvm instance start`, `stop`, …. */
export function operatingCommand(operation: OperatingCommand): CommandModule {
  return {
    formats: ['table', 'json', 'yaml', 'name'],
    configure(command) {
      command.argument('<instance...>', 'addresses, <tenant>/<pool>/<instance>');
      operation.addOptions?.(command);
      if (operation.hold !== undefined) addHoldOption(command);
      addOperationOptions(command);
      completeWith(command, 'instance');
      addHelp(command, operation.text, operation.examples);
    },
    async run(context, invocation) {
      const addresses = await resolveInstances(context, invocation.operands(0));
      await operation.before?.(context, invocation, addresses);
      const results = await operate(context, invocation, addresses, operation);
      if (operation.hold !== undefined) sayHolds(context, results, operation.hold);
    },
  };
}

/** The options that every operation takes. */
function addOperationOptions(command: Command): void {
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
async function operate(
  context: CliContext,
  invocation: Invocation,
  addresses: readonly InstanceAddress[],
  operation: OperatingCommand,
): Promise<OperationResult[]> {
  const agentd = await context.agentd();
  // Every operation's route takes an instance and answers an OperationResult.
  const call = agentd[operation.route] as Call;
  const { query, extraMs = 0, doing = operation.doing, ...body } = operation.input?.(invocation) ?? {};
  const timeoutMs = (invocation.number('timeout') ?? DEFAULT_TIMEOUT_MS) + extraMs;
  const dryRun = isDryRun(invocation);
  const held = operation.hold === undefined ? {} : holdQuery(invocation);
  const results: OperationResult[] = [];
  const plans: ObjectPlan[] = [];
  let exitCode = 0;
  for (const { tenantId, poolId, instanceId } of addresses) {
    const params = { tenant: tenantId, pool: poolId, instance: instanceId };
    try {
      const text = `${dryRun ? 'planning' : doing} ${tenantId}/${poolId}/${instanceId}`;
      const options = { signal: context.signal, timeoutMs };
      const result = await withProgress(context, text, () =>
        call({ params, query: { ...held, ...query, dry_run: dryRun }, ...body }, options),
      );
      if (result.plan !== null) {
        plans.push(planOf(result, result.plan, operation));
        continue;
      }
      results.push(result);
      if (invocation.format === 'table') context.stdout.write(`${formatAddress(result)} ${operation.done}\n`);
      if (invocation.format === 'name') context.stdout.write(`${formatAddress(result)}\n`);
    } catch (error) {
      if (context.signal.aborted && !dryRun) {
        const name = `${tenantId}/${poolId}/${instanceId}`;
        context.say(`${doing} ${name} continues in hostd without this command: mvm instance list --watch`);
      }
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

function planOf(result: OperationResult, plan: PlanView, { done }: OperatingCommand): ObjectPlan {
  const { tenant_id, pool_id, instance_id } = result;
  return {
    name: formatAddress(result),
    outcome: `would be ${done}`,
    plan,
    identity: { tenant_id, pool_id, instance_id },
  };
}
