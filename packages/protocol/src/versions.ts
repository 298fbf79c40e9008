import { CodedError } from '@mvm/errors';

/** Every version of the contract, oldest first, with the date (UTC) on which it was fixed. */
export const PROTOCOL_HISTORY = [
  {
    version: 1,
    date: '2026-11-23',
    summary: 'Eight requests, three responses, one request per connection; the contract of existing peers.',
  },
  {
    version: 2,
    date: '2026-11-23',
    summary:
      'Hello and Welcome, many requests per connection, coded errors, objects: tenants, pools, instances.',
  },
] as const satisfies readonly { version: number; date: string; summary: string }[];

/** The newest version, and the one that our clients ask for. */
export const PROTOCOL_VERSION = 2;
/** Every version that hostd speaks, ascending. Version 1 is spoken without Hello. */
export const SUPPORTED_VERSIONS: readonly number[] = [1, 2];
/** The first version that is negotiated by Hello and Welcome. */
export const FIRST_NEGOTIATED_VERSION = 2;

/**
 * The highest version that both sides speak, out of those that a Hello offers. `protocol_mismatch`, reason
 * `protocol.no_common_version`, when there is none (version 1 cannot be chosen by Hello: it has none).
 */
export function negotiateVersion(offered: readonly number[]): number {
  const common = SUPPORTED_VERSIONS.filter(
    (version) => version >= FIRST_NEGOTIATED_VERSION && offered.includes(version),
  );
  const best = common.at(-1);
  if (best !== undefined) return best;
  throw new CodedError({
    code: 'protocol_mismatch',
    reason: 'protocol.no_common_version',
    message: `no common protocol version: offered ${offered.slice(0, 16).join(', ') || 'none'}, supported ${SUPPORTED_VERSIONS.join(', ')}`,
    hint: 'Install the same release of mvm-agentd and mvm-hostd.',
  });
}
