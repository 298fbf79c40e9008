import type { NetworkException, NetworkLimits, PoolNetworkPolicy, PublishedPort } from '@mvm/protocol';

type Field = readonly [string, string | undefined];

function exceptionText({ cidr, protocol, first_port, last_port }: NetworkException): string {
  const ports =
    first_port === undefined ? '' : `/${first_port}${last_port === undefined ? '' : `-${last_port}`}`;
  return protocol === undefined ? cidr : `${cidr} ${protocol}${ports}`;
}

function limitsText(limits: NetworkLimits): string | undefined {
  const perSecond = limits.new_connections_per_second;
  const burst = limits.new_connections_burst;
  const noneAt = (value: number | undefined, unit: string) =>
    value === undefined ? [] : [value === 0 ? `no limit of ${unit}` : `${value} ${unit}`];
  const texts = [
    ...(perSecond === undefined ? [] : [`${perSecond} new connections/s`]),
    ...(burst === undefined ? [] : [`${burst} new connections at once`]),
    ...(limits.connections === undefined ? [] : [`${limits.connections} connections`]),
    ...noneAt(limits.packets_per_second, 'packets/s'),
    ...noneAt(limits.bandwidth_kbit, 'kbit/s'),
  ];
  return texts.length === 0 ? undefined : texts.join(', ');
}

function publishText({ protocol, host_port, guest_port, instance_id }: PublishedPort): string {
  return `${protocol} ${host_port} → ${instance_id ?? 'first running'}:${guest_port}`;
}

function list<T>(items: readonly T[] | undefined, text: (item: T) => string): string | undefined {
  if (items === undefined) return undefined;
  return items.length === 0 ? 'nothing' : items.map(text).join(', ');
}

/**
 * The fields that a network policy sets, one line each; what it leaves out is not shown. Docs: docs/networking.md#policy.
 */
export function networkPolicyFields(policy: PoolNetworkPolicy): Field[] {
  const { egress, allow, deny, isolate_instances: isolated, limits, publish } = policy;
  return [
    ['Egress', egress],
    ['Allow', list(allow, exceptionText)],
    ['Deny', list(deny, exceptionText)],
    [
      'Instances',
      isolated === undefined ? undefined : isolated ? 'kept from each other' : 'reach each other',
    ],
    ['Limits', limits === undefined ? undefined : limitsText(limits)],
    ['Publish', list(publish, publishText)],
  ];
}
