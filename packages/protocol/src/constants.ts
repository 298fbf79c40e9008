/** Where hostd listens by default: mode 0660, owner root, group `mvm`. Source: docs/protocol.md. */
export const HOSTD_SOCKET_PATH = '/run/mvm/hostd.sock';
/** Where agentd's HTTP API listens by default. */
export const AGENTD_SOCKET_PATH = '/run/mvm/agentd.sock';
/** Root of hostd's state tree. */
export const STATE_DIR = '/var/lib/mvm';
/** Largest frame body in bytes, both directions. Checked before anything is allocated. */
export const MAX_FRAME_BYTES = 1_048_576;
/** Largest frame body in bytes on a guest agent's channel. */
export const MAX_GUEST_AGENT_FRAME_BYTES = 262_144;
/** The default range out of which every tenant's subnet is taken. */
export const DEFAULT_CLUSTER_CIDR = '10.240.0.0/12';
/** `tenant_net_id` is 0…4095 by meaning, though u16 on the wire. */
export const MAX_TENANT_NET_ID = 4095;
/** Offset of the gateway in a tenant's subnet. */
export const GATEWAY_IP_OFFSET = 1;
/** Reserved for what is no instance: builders, and the port through which hostd probes. */
export const RESERVED_IP_OFFSET = 2;
/** Instances get the offsets 3…254. */
export const FIRST_INSTANCE_IP_OFFSET = 3;
export const LAST_INSTANCE_IP_OFFSET = 254;
