import { CodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { Option } from 'commander';
import { type PoolAddress, parsePoolAddress } from '../address/address.js';
import { currentDesired } from '../apply/current-desired.js';
import { endDryRun, printApplied } from '../apply/print-applied.js';
import type { CommandModule } from '../command.js';
import { usageError } from '../errors/usage-error.js';
import { parseDuration } from '../format/duration.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { withProgress } from '../progress/with-progress.js';
import { waitForConvergence } from '../wait/wait-for-convergence.js';

const DEFAULT_TIMEOUT_MS = 120_000;

/** `mvm scale`. */
export const scale: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command
      .argument('<pool>', 'the pool, <tenant>/<pool>')
      .argument('[running]', 'how many instances shall run')
      .addOption(new Option('--warm <count>', 'how many shall be warm').argParser(parseCount))
      .addOption(new Option('--sleeping <count>', 'how many shall sleep').argParser(parseCount))
      .option('--wait', 'wait until it is so')
      .addOption(
        new Option('--timeout <duration>', 'how long to wait')
          .argParser(parseDuration)
          .default(DEFAULT_TIMEOUT_MS, '2m'),
      );
    addDryRunOption(command);
    completeWith(command, 'pool');
    addHelp(
      command,
      'Changes the counts of one pool in the desired state in force, and nothing else. Where the desired state comes from a\nfile, change that file.',
      [
        ['mvm scale acme/web 3 --wait', 'Three running instances'],
        ['mvm scale acme/web --sleeping 2 --dry-run', 'What two sleeping ones would lead to'],
      ],
    );
  },
  async run(context, invocation) {
    const pool = parsePoolAddress(invocation.operand(0));
    const running = invocation.optionalOperand(1);
    const counts = {
      ...(running === undefined ? {} : { running: parseCount(running) }),
      ...countOf('warm', invocation.number('warm')),
      ...countOf('sleeping', invocation.number('sleeping')),
    };
    if (Object.keys(counts).length === 0) {
      throw usageError('no count was given', 'mvm scale acme/web 3, or --warm, or --sleeping');
    }
    const dryRun = isDryRun(invocation);
    const timeoutMs = invocation.number('timeout') ?? DEFAULT_TIMEOUT_MS;
    const agentd = await context.agentd();
    const body = withCounts((await currentDesired(context)).desired, pool, counts);
    const result = await withProgress(context, dryRun ? 'planning' : 'scaling', () =>
      agentd.putDesired({ body, query: { dry_run: dryRun } }, { signal: context.signal, timeoutMs }),
    );
    await printApplied(context, invocation, result);
    if (dryRun) endDryRun(result);
    if (result.applied && invocation.flag('wait')) {
      await waitForConvergence(context, result.revision, timeoutMs);
    }
  },
};

type Counts = Partial<DesiredState['tenants'][number]['pools'][number]['desired_counts']>;

function countOf(name: keyof Counts, value: number | undefined): Counts {
  return value === undefined ? {} : { [name]: value };
}

/** A state with other counts for one pool; `not_found`, reason `pool.not_found`, when it has no such pool. Pure. */
function withCounts(desired: DesiredState, { tenantId, poolId }: PoolAddress, counts: Counts): DesiredState {
  let found = false;
  const tenants = desired.tenants.map((tenant) => ({
    ...tenant,
    pools: tenant.pools.map((pool) => {
      if (tenant.tenant_id !== tenantId || pool.pool_id !== poolId) return pool;
      found = true;
      return { ...pool, desired_counts: { ...pool.desired_counts, ...counts } };
    }),
  }));
  if (found) return { ...desired, tenants };
  const all = desired.tenants.flatMap(({ tenant_id, pools }) =>
    pools.map(({ pool_id }) => `${tenant_id}/${pool_id}`),
  );
  throw new CodedError({
    code: 'not_found',
    reason: 'pool.not_found',
    message: `the desired state has no pool ${tenantId}/${poolId}`,
    hint: all.length === 0 ? 'it has no pools' : `it has: ${all.slice(0, 10).join(', ')}`,
  });
}

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d{1,5}$/.test(text)) return count;
  throw usageError(`${text} is no count of instances`, 'a whole number, 0 or more');
}
