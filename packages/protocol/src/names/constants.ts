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
