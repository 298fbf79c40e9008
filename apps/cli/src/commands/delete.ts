import type { AgentdClient } from '@mvm/agentd-api';
import { CodedError } from '@mvm/protocol';
import { compareAddresses, formatAddress, parseScope, type Scope } from '../address/address.js';
import { withoutObjects } from '../apply/without-objects.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { INTERRUPTED_EXIT_CODE } from '../errors/exit-code.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { usageError } from '../errors/usage-error.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { withProgress } from '../progress/with-progress.js';

const TIMEOUT_MS = 600_000;

/** `mvm delete`. */
export const deleteCommand: CommandModule = {
  formats: ['table', 'name'],
  configure(command) {
    command
      .argument('<object...>', 'tenants, and pools: <tenant>/<pool>')
      .option('-y, --yes', 'do not ask')
      .option('--wipe-volumes', 'overwrite the data disks before they are deleted');
    addDryRunOption(command);
    completeWith(command, 'scope');
    addHelp(
      command,
      'Takes tenants and pools out of the desired state in force and off the host, with all their instances and disks. Lists\nthe instances and asks first. The audit log of a tenant stays. Where the desired state comes from a file, take them out\nof that file first. To destroy single instances: mvm instance destroy.',
      [
        ['mvm delete acme/web --dry-run', 'Which instances would be destroyed?'],
        ['mvm delete acme', 'A tenant with its pools and its network'],
      ],
    );
  },
  async run(context, invocation) {
    const objects = invocation.operands(0).map((text) => parseScope(text));
    const agentd = await context.agentd();
    const options = { signal: context.signal };
    const [{ instances }, { desired }, { tenants }] = await Promise.all([
      agentd.listInstances({}, options),
      agentd.getDesired({}, options),
      agentd.listTenants({}, options),
    ]);
    const known = [...tenants, ...(desired?.tenants ?? [])];
    for (const object of objects) refuseUnknownObject(known, object);
    const doomed = instances
      .filter((view) => objects.some((object) => contains(object, view.tenant_id, view.pool_id)))
      .toSorted(compareAddresses);
    for (const view of doomed) context.stdout.write(`${formatAddress(view)}\n`);
    const names = objects.map(nameOf).join(', ');
    if (isDryRun(invocation)) {
      context.say(`${names} and the ${doomed.length} instances above would be deleted`);
      return;
    }
    if (!invocation.flag('yes'))
      await confirm(context, `Delete ${names} and these ${doomed.length} instances?`);
    const body = desired === null ? null : withoutObjects(desired, objects);
    if (body !== null && body !== desired) await agentd.putDesired({ body }, options);
    const query = { wipe_volumes: invocation.flag('wipeVolumes') };
    for (const object of objects) {
      await withProgress(context, `deleting ${nameOf(object)}`, () => remove(agentd, object, query, context));
      context.say(`${nameOf(object)} deleted`);
    }
  },
};

async function remove(
  agentd: AgentdClient,
  { tenantId: tenant = '', poolId: pool }: Scope,
  query: { readonly wipe_volumes: boolean },
  { signal }: CliContext,
): Promise<void> {
  const options = { signal, timeoutMs: TIMEOUT_MS };
  if (pool === undefined) await agentd.removeTenant({ params: { tenant }, query }, options);
  else await agentd.removePool({ params: { tenant, pool }, query }, options);
}

function refuseUnknownObject(
  known: readonly { readonly tenant_id: string; readonly pools: readonly { readonly pool_id: string }[] }[],
  object: Scope,
): void {
  const tenants = known.filter(({ tenant_id }) => tenant_id === object.tenantId);
  const pools = tenants.flatMap((tenant) => tenant.pools.map(({ pool_id }) => pool_id));
  if (object.poolId === undefined ? tenants.length > 0 : pools.includes(object.poolId)) return;
  throw new CodedError({
    code: 'not_found',
    reason: object.poolId === undefined ? 'tenant.not_found' : 'pool.not_found',
    message: `there is no ${nameOf(object)}, neither on the host nor in the desired state`,
    hint: 'mvm tenant list and mvm pool list show what there is',
  });
}

async function confirm(context: CliContext, question: string): Promise<void> {
  const answer = await context.ask(`${question} [y/N] `);
  if (answer === undefined)
    throw usageError('there is no terminal to ask for confirmation', 'pass --yes, or --dry-run');
  if (/^y(es)?$/i.test(answer.trim())) return;
  context.say('nothing was deleted');
  throw new ReportedFailure(INTERRUPTED_EXIT_CODE);
}

function contains({ tenantId, poolId }: Scope, tenant: string, pool: string): boolean {
  return tenantId === tenant && (poolId === undefined || poolId === pool);
}

function nameOf({ tenantId = '', poolId }: Scope): string {
  return poolId === undefined ? tenantId : `${tenantId}/${poolId}`;
}
