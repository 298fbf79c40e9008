export {
  CodedError,
  type CodedErrorInit,
  ERROR_CODES,
  type ErrorCode,
  type ErrorDetails,
  isCodedError,
  type RetryClass,
  toCodedError,
} from '@mvm/errors';
export type { Codec } from './codec.js';
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
  RESERVED_IP_OFFSET,
  STATE_DIR,
} from './constants.js';
export { type DesiredProblem, findUnreachableCounts } from './desired-limits.js';
export {
  type DesiredPool,
  type DesiredState,
  type DesiredTenant,
  desiredPoolSchema,
  desiredStateSchema,
  desiredTenantSchema,
  parseDesiredState,
} from './desired-state.js';
export { type ErrorResponse, errorFromResponse, errorToResponse } from './error-response.js';
export {
  type GuestAgentRequest,
  type GuestAgentResponse,
  guestAgentRequestCodec,
  guestAgentRequestSchemas,
  guestAgentResponseCodec,
  guestAgentResponseSchemas,
} from './guest-agent.js';
export { generateInstanceId, isValidId, parseInstanceId, parsePoolId, parseTenantId } from './ids.js';
export {
  cidrContains,
  cidrOverlaps,
  formatIpv4,
  formatIpv4Cidr,
  type Ipv4Cidr,
  parseIpv4,
  parseIpv4Cidr,
} from './ipv4.js';
export type { JsonValue } from './json/reader.js';
export {
  failurePrefix,
  type InstanceMethod,
  METHODS,
  type MethodDefinition,
  type MethodName,
  type MethodsWith,
  type PlannableRequest,
  plannableRequestSchemas,
  type RequestOf,
  type ResponseOf,
  type V2Request,
  v2RequestSchemas,
} from './methods.js';
export { bridgeName, macAddress, parseBridgeName, parseTapName, tapName } from './names.js';
export {
  checkNetworkPolicy,
  findNetworkPolicyProblems,
  MAX_NETWORK_EXCEPTIONS,
  MAX_PUBLISHED_PORTS,
  MIN_BANDWIDTH_KBIT,
  type NetworkException,
  type NetworkLimits,
  type NetworkPolicy,
  type NetworkPolicyProblem,
  networkExceptionSchema,
  networkLimitsSchema,
  networkPolicySchema,
  type PoolNetworkPolicy,
  type PublishedPort,
  poolNetworkPolicySchema,
  publishedPortSchema,
} from './network-policy.js';
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
export { quoteForMessage } from './quote.js';
export { type TenantNet, tenantNetSchema } from './tenant-net.js';
export {
  checkTenantNet,
  deriveTenantNet,
  instanceIp,
  lastInstanceIpOffset,
  MAX_TENANT_PREFIX_LENGTH,
  MIN_TENANT_PREFIX_LENGTH,
  reservedIp,
} from './tenant-net-check.js';
export { assertTransition, INSTANCE_TRANSITIONS, type InstanceOperation } from './transitions.js';
export { type V1Request, type V1Response, v1RequestCodec, v1ResponseCodec } from './v1/codec.js';
export { v1RequestSchemas, v1ResponseSchemas } from './v1/schemas.js';
export {
  type AuditEntryView,
  type AuditReportView,
  auditEntryViewSchema,
  auditReportViewSchema,
} from './v2/audit-views.js';
export { helloSchema, MAX_REQUEST_ID, requestIdSchema, welcomeSchema } from './v2/frame-schemas.js';
export {
  type ClientFrame,
  clientFrameCodec,
  decodeFirstFrame,
  type FirstFrame,
  type HelloFrame,
  type ServerFrame,
  serverFrameCodec,
} from './v2/frames.js';
export {
  type DropCounterView,
  dropCounterViewSchema,
  type NetworkCommand,
  type NetworkDriftView,
  type NetworkDrops,
  type NetworkKindCount,
  type NetworkPlan,
  type NetworkProbe,
  type NetworkReport,
  networkCommandSchema,
  networkDriftViewSchema,
  networkDropsSchema,
  networkKindCountSchema,
  networkPlanSchema,
  networkProbeSchema,
  networkReportSchema,
} from './v2/network-views.js';
export { type V2Response, v2ResponseSchemas } from './v2/responses.js';
export {
  type HostInfo,
  hostInfoSchema,
  type ImageRef,
  type ImageView,
  type InstanceDetail,
  type InstanceNet,
  type InstanceRuntime,
  type InstanceView,
  imageRefSchema,
  imageViewSchema,
  instanceDetailSchema,
  instanceNetSchema,
  instanceRuntimeSchema,
  instanceViewSchema,
  type LogChunk,
  logChunkSchema,
  type PlanStep,
  type PlanView,
  type PoolView,
  planSchema,
  planStepSchema,
  poolViewSchema,
  type StopReason,
  stopReasonSchema,
  type TenantView,
  tenantViewSchema,
} from './v2/views.js';
export {
  FIRST_NEGOTIATED_VERSION,
  negotiateVersion,
  PROTOCOL_HISTORY,
  PROTOCOL_VERSION,
  SUPPORTED_VERSIONS,
} from './versions.js';
