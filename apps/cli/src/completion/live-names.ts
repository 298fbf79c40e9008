import { compareAddresses, formatAddress } from '../address/address.js';
import type { CliContext } from '../context.js';
import type { Candidate, Completion } from './candidates.js';

/** A shell waits for this on every TAB. */
const TIMEOUT_MS = 1500;

/**
 * Names of objects that are there, sorted. Where an address has several parts, the next part is offered: `acme/`
 * before `acme/web/i-1`. Throws what the call throws.
 */
export async function liveNames(
  context: CliContext,
  of: Extract<Completion, { kind: 'names' }>['of'],
  current: string,
): Promise<Candidate[]> {
  const agentd = await context.agentd();
  const options = { signal: context.signal, timeoutMs: TIMEOUT_MS };
  switch (of) {
    case 'image': {
      const { images } = await agentd.getHost({}, options);
      return images.map(({ name }) => ({ value: name, description: '' }));
    }
    case 'tenant': {
      const { tenants } = await agentd.listTenants({}, options);
      return tenants.map((tenant) => ({ value: tenant.tenant_id, description: tenant.net.ipv4_subnet }));
    }
    case 'pool':
    case 'scope': {
      const { pools } = await agentd.listPools({}, options);
      const tenants = of === 'scope' ? unique(pools.map((pool) => pool.tenant_id)) : [];
      return [
        ...tenants.map((value) => ({ value, description: 'tenant' })),
        ...pools
          .toSorted(compareAddresses)
          .map((pool) => ({ value: formatAddress(pool), description: pool.role })),
      ];
    }
    case 'instance': {
      const { instances } = await agentd.listInstances({}, options);
      const sorted = instances.toSorted(compareAddresses);
      return byPart(
        sorted.map((instance) => ({ value: formatAddress(instance), description: instance.status })),
        current,
      );
    }
  }
}

/** With many addresses, offers the parts up to the next slash; with few, the whole addresses. */
export function byPart(addresses: readonly Candidate[], current: string, few = 20): Candidate[] {
  const matching = addresses.filter(({ value }) => value.startsWith(current));
  if (matching.length <= few) return matching;
  const depth = current.split('/').length;
  const parts = unique(matching.map(({ value }) => value.split('/').slice(0, depth).join('/')));
  if (depth > 2) return matching;
  return parts.map((part) => ({ value: `${part}/`, description: '' }));
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
