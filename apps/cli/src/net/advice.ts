import { DROP_MEANINGS, type PathAnswer } from '@mvm/net-executor/diagnose';
import { cidrContains, parseIpv4, parseIpv4Cidr } from '@mvm/protocol/names';
import { formatAddress } from '../address/address.js';
import type { AnswerField, InboundAsked } from './answer.js';
import type { WhyFacts } from './why-facts.js';

interface Judged {
  readonly facts: WhyFacts;
  readonly judged: PathAnswer;
  readonly follows: AnswerField | null;
  readonly inbound: InboundAsked | null;
}

/** Where the desired state holds a policy: a pool's where the pool sets the field, else the tenant's. */
function policyPath({ source, of }: AnswerField, { tenant }: WhyFacts): string {
  return source === 'pool' ? `network_policy of pool ${of}` : `network.policy of tenant ${tenant.tenant_id}`;
}

/** The entry of `allow` that would let exactly this packet pass. */
function exactly({ to }: WhyFacts): string {
  const { address, protocol, port } = to;
  return `{ cidr: ${address}/32, protocol: ${protocol}${port === undefined ? '' : `, first_port: ${port}`} }`;
}

function onPublish({ facts, inbound }: Judged): string[] {
  const { instance, tenant, uplinks } = facts;
  if (inbound === null) return [];
  if (uplinks.length === 0)
    return ['name the interface to the outside to hostd (--uplink), or give the host a default route'];
  const own = tenant.pools.find(({ pool_id }) => pool_id === instance.pool_id)?.network_policy?.publish ?? [];
  const entry = own.find(
    ({ protocol, guest_port }) => protocol === inbound.protocol && guest_port === inbound.port,
  );
  const pool = `${instance.tenant_id}/${instance.pool_id}`;
  if (entry !== undefined) {
    const leads = entry.instance_id ?? "the pool's instance with the lowest address among those that run";
    return [
      `${entry.protocol} port ${entry.host_port} of the host leads to ${leads}: set instance_id: ${instance.instance_id} in publish of network_policy of pool ${pool}`,
    ];
  }
  return [
    `publish it: add { protocol: ${inbound.protocol}, host_port: <a free port of the host>, guest_port: ${inbound.port}, instance_id: ${instance.instance_id} } to publish in network_policy of pool ${pool}, and apply`,
  ];
}

function onPolicy({ facts, follows }: Judged & { readonly follows: AnswerField }): string[] {
  const where = policyPath(follows, facts);
  const [name = ''] = follows.field.split('[');
  if (name === 'deny') return [`take ${follows.field} out of ${where}, or narrow it, and apply`];
  if (name === 'isolate_instances') return [`set isolate_instances: false in ${where}, and apply`];
  if (name === 'egress') {
    return [`add ${exactly(facts)} to allow in ${where}, or set egress there, and apply (mvm apply -f …)`];
  }
  return [];
}

/** What to change so that a packet which the rules drop gets through, or where to look. Pure. */
export function adviseOn(asked: Judged): string[] {
  const { facts, judged, follows, inbound } = asked;
  if (inbound !== null) return onPublish(asked);
  const ofPolicy = follows === null ? [] : onPolicy({ ...asked, follows });
  if (ofPolicy.length > 0) return ofPolicy;
  const advice = judged.counter === null ? undefined : DROP_MEANINGS[judged.counter.name]?.advice;
  if (advice !== undefined) return [advice];
  const { target, tenant, host, to } = facts;
  if (target !== null && target.tenant_id !== tenant.tenant_id) {
    return [`${formatAddress(target)} is another tenant's; ${DROP_MEANINGS.c_xtenant?.advice ?? ''}`];
  }
  if (cidrContains(parseIpv4Cidr(host.cluster_cidr), parseIpv4(to.address))) {
    return ['no instance has that address: mvm instance list -o wide shows which there are'];
  }
  if (facts.route.kind === 'none') return ['give the host a route there: ip route'];
  return [];
}
