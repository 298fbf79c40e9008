import { formatIpv4Cidr, parseIpv4 } from '@mvm/protocol/names';
import { desiredCountsSchema, instanceResourcesSchema } from '@mvm/protocol/schemas';
import { scopesForHostd } from '@mvm/protocol/state';
import { z } from 'zod';

/*
 * Records as other mvm agents write them (crate mvm-core 0.13.0), in the form that hostd uses. Pure; what is not an object
 * or has another form already is returned as it is, and the schema of the record judges it.
 */

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `tenant.json`: quotas are u64 there, and the largest mean "no limit". */
export function fromPeerTenant(record: unknown): unknown {
  if (!isObject(record) || !isObject(record.quotas)) return record;
  return {
    ...record,
    quotas: mapNumbers(record.quotas, (value) => Math.min(value, Number.MAX_SAFE_INTEGER)),
  };
}

const peerScopesSchema = z.array(
  z.union([z.string(), z.object({ integration: z.string(), keys: z.array(z.string()) })]),
);

/**
 * `pool.json`: resources and counts are not bounded there, and are brought within the bounds of the protocol; secrets are
 * scoped by integration there, and their keys are what counts here.
 */
export function fromPeerPool(record: unknown): unknown {
  if (!isObject(record)) return record;
  const scopes = peerScopesSchema.safeParse(record.secret_scopes);
  return {
    ...record,
    ...(isObject(record.instance_resources) && {
      instance_resources: clampTo(instanceResourcesSchema.shape, {
        data_disk_mib: 0,
        ...record.instance_resources,
      }),
    }),
    ...(isObject(record.desired_counts) && {
      desired_counts: clampTo(desiredCountsSchema.shape, record.desired_counts),
    }),
    ...(scopes.success && { secret_scopes: scopesForHostd(scopes.data) }),
  };
}

/** `instance.json`: `net.cidr` is the length of the subnet's prefix there, and the subnet here. */
export function fromPeerInstance(record: unknown): unknown {
  if (!isObject(record) || !isObject(record.net)) return record;
  const { cidr: prefixLength, gateway_ip } = record.net;
  if (typeof prefixLength !== 'number' || typeof gateway_ip !== 'string') return record;
  return { ...record, net: { ...record.net, cidr: subnetOf(gateway_ip, prefixLength) ?? prefixLength } };
}

/** The subnet in CIDR form around an address; null when the address or the length is none. */
function subnetOf(address: string, prefixLength: number): string | null {
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > 32) return null;
  try {
    const size = 2 ** (32 - prefixLength);
    const network = parseIpv4(address);
    return formatIpv4Cidr({ network: network - (network % size), prefixLength });
  } catch {
    return null;
  }
}

/** Numbers brought within the bounds of their schema; everything else as it is. */
function clampTo(shape: Readonly<Record<string, z.ZodInt | z.ZodNumber>>, fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      const bounds = Object.hasOwn(shape, name) ? shape[name] : undefined;
      if (typeof value !== 'number' || bounds === undefined) return [name, value];
      return [name, Math.min(Math.max(value, bounds.minValue ?? value), bounds.maxValue ?? value)];
    }),
  );
}

function mapNumbers(fields: Fields, map: (value: number) => number): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === 'number' ? map(value) : value]),
  );
}
