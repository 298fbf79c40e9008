import { CodedError, type InstanceView } from '@mvm/protocol';
import { isValidId } from '@mvm/protocol/names';
import type { CliContext } from '../context.js';
import {
  compareAddresses,
  formatAddress,
  type InstanceAddress,
  type PoolAddress,
  parseInstanceAddress,
} from './address.js';
import { refuseUnknown } from './refuse-unknown.js';

/** As many instances as an error names. */
const MAX_LISTED = 5;

/**
 * The instances that the texts name: whole addresses as they are, without asking anybody; a text without a slash is the
 * beginning of an instance's id, and must be that of exactly one instance of the host. Throws as `parseInstanceAddress`
 * does; `not_found`, reason `instance.not_found`; `invalid_argument`, reason `address.ambiguous`; errors of agentd.
 */
export async function resolveInstances(
  context: CliContext,
  texts: readonly string[],
): Promise<InstanceAddress[]> {
  if (texts.every((text) => !isPrefix(text))) return texts.map(parseInstanceAddress);
  const agentd = await context.agentd();
  const { instances } = await agentd.listInstances({}, { signal: context.signal });
  return texts.map((text) => (isPrefix(text) ? findByPrefix(instances, text) : parseInstanceAddress(text)));
}

/** The one instance that a text names; as {@link resolveInstances}. */
export async function resolveInstance(context: CliContext, text: string): Promise<InstanceAddress> {
  const [address] = await resolveInstances(context, [text]);
  if (address === undefined) throw new Error('one text has one address');
  return address;
}

/** All instances of a pool, or those that `isMeant`. Errors: `not_found` for an unknown pool, which names the known ones; those of agentd. */
export async function instancesOf(
  context: CliContext,
  { tenantId, poolId }: PoolAddress,
  isMeant: (instance: InstanceView) => boolean = () => true,
): Promise<InstanceAddress[]> {
  const agentd = await context.agentd();
  const query = { tenant: tenantId, pool: poolId };
  const { instances } = await agentd.listInstances({ query }, { signal: context.signal });
  if (instances.length === 0) await refuseUnknown(context, { tenantId, poolId });
  return instances
    .filter(isMeant)
    .toSorted(compareAddresses)
    .map(({ instance_id }) => ({ tenantId, poolId, instanceId: instance_id }));
}

function isPrefix(text: string): boolean {
  return !text.includes('/') && isValidId(text.replace(/-$/, ''));
}

/** The only instance whose id begins with `prefix`; an id that is exactly that counts before longer ones. Pure. */
export function findByPrefix(
  instances: readonly Pick<InstanceView, 'tenant_id' | 'pool_id' | 'instance_id'>[],
  prefix: string,
): InstanceAddress {
  const starting = instances.filter(({ instance_id }) => instance_id.startsWith(prefix));
  const exact = starting.filter(({ instance_id }) => instance_id === prefix);
  const found = exact.length > 0 ? exact : starting;
  const [first] = found;
  if (first === undefined) {
    throw new CodedError({
      code: 'not_found',
      reason: 'instance.not_found',
      message: `there is no instance whose id begins with ${prefix}`,
      hint: 'an instance is <tenant>/<pool>/<instance>, or the beginning of its id: mvm instance list',
    });
  }
  if (found.length > 1) {
    const names = found.slice(0, MAX_LISTED).map(formatAddress).join(', ');
    const more = found.length > MAX_LISTED ? ` and ${found.length - MAX_LISTED} more` : '';
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'address.ambiguous',
      message: `${prefix} can be ${names}${more}`,
      hint: 'give more of the id, or the whole address',
    });
  }
  return { tenantId: first.tenant_id, poolId: first.pool_id, instanceId: first.instance_id };
}
