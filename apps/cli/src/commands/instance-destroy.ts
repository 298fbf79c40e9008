import type { InstanceAddress } from '../address/address.js';
import type { CliContext } from '../context.js';
import { INTERRUPTED_EXIT_CODE } from '../errors/exit-code.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { usageError } from '../errors/usage-error.js';
import { isDryRun } from '../plan/dry-run-option.js';
import { operatingCommand } from './operate.js';

/** As many addresses as the question lists. */
const MAX_LISTED = 10;

/** `mvm instance destroy`. */
export const instanceDestroy = operatingCommand({
  route: 'destroyInstance',
  doing: 'destroying',
  done: 'destroyed',
  text: 'Stops the instance if it runs and deletes its disks. Asks first; without a terminal it needs --yes or --dry-run.\nThe pool creates another when the desired state wants one.',
  examples: [
    ['mvm instance destroy acme/web/i-0a1b2c3d', 'Destroy one instance, after a question'],
    ['mvm instance destroy --yes --wipe-volumes acme/web/i-0a1b2c3d', 'In a script, leaving no data behind'],
  ],
  addOptions(command) {
    command
      .option('-y, --yes', 'do not ask')
      .option('--wipe-volumes', 'overwrite the data disk before it is deleted');
  },
  input(invocation) {
    const wipe = invocation.flag('wipeVolumes');
    return { query: { wipe_volumes: wipe }, ...(wipe ? { doing: 'wiping and destroying' } : {}) };
  },
  async before(context, invocation, addresses) {
    if (invocation.flag('yes') || isDryRun(invocation)) return;
    await confirm(context, addresses, invocation.flag('wipeVolumes'));
  },
});

async function confirm(
  context: CliContext,
  addresses: readonly InstanceAddress[],
  wipe: boolean,
): Promise<void> {
  const names = addresses.map(({ tenantId, poolId, instanceId }) => `${tenantId}/${poolId}/${instanceId}`);
  const listed =
    names.length > MAX_LISTED
      ? [...names.slice(0, MAX_LISTED), `and ${names.length - MAX_LISTED} more`]
      : names;
  const fate = wipe ? 'overwritten and deleted' : 'deleted';
  const answer = await context.ask(`${listed.join('\n')}\nDestroy? The disks are ${fate}. [y/N] `);
  if (answer === undefined) {
    throw usageError(
      'there is no terminal to ask for confirmation',
      'to destroy without a question, pass --yes',
    );
  }
  if (/^y(es)?$/i.test(answer.trim())) return;
  context.say('nothing was destroyed');
  throw new ReportedFailure(INTERRUPTED_EXIT_CODE);
}
