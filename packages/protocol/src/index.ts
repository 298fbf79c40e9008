export {
  AGENTD_SOCKET_PATH,
  DEFAULT_CLUSTER_CIDR,
  FIRST_INSTANCE_IP_OFFSET,
  GATEWAY_IP_OFFSET,
  HOSTD_SOCKET_PATH,
  LAST_INSTANCE_IP_OFFSET,
  MAX_FRAME_BYTES,
  MAX_GUEST_AGENT_FRAME_BYTES,
  MAX_TENANT_NET_ID,
  STATE_DIR,
} from './constants.js';
export {
  CodedError,
  type CodedErrorInit,
  ERROR_CODES,
  type ErrorCode,
  type ErrorDetails,
  isCodedError,
  type RetryClass,
  toCodedError,
} from './errors.js';
export {
  type DesiredCounts,
  desiredCountsSchema,
  type InstanceResources,
  type InstanceStatus,
  instanceResourcesSchema,
  instanceStatusSchema,
  type PoolSpec,
  poolSpecSchema,
  type Quotas,
  quotasSchema,
  type RuntimePolicy,
  roleSchema,
  runtimePolicySchema,
} from './objects.js';
export { type TenantNet, tenantNetSchema } from './tenant-net.js';
