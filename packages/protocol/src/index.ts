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
  parseDesiredState,
} from './desired-state.js';
export { type ErrorResponse, errorFromResponse, errorToResponse } from './error-response.js';
export {
  type GuestAgentRequest,
  type GuestAgentResponse,
  guestAgentRequestCodec,
  guestAgentResponseCodec,
} from './guest-agent.js';
export {
  decodeStreamFrame,
  encodeStreamFrame,
  isStreamFrame,
  MAX_STREAM_DATA,
  MAX_STREAM_FRAME_BYTES,
  STREAM_CHANNEL,
  STREAM_FRAME,
  STREAM_WINDOW_TO_CALLER,
  STREAM_WINDOW_TO_GUEST,
  type StreamFrame,
  type StreamWish,
  streamCost,
  streamIdOf,
} from './guest-stream.js';
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
export type { MethodDefinition } from './method-definition.js';
export {
  failurePrefix,
  type InstanceMethod,
  METHODS,
  type MethodName,
  type MethodsWith,
  type PlannableRequest,
  type RequestOf,
  type ResponseOf,
  type V2Request,
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
  type PoolNetworkPolicy,
  type PublishedPort,
} from './network-policy.js';
export type {
  DesiredCounts,
  InstanceResources,
  InstanceStatus,
  PoolSpec,
  Quotas,
  RuntimePolicy,
} from './objects.js';
export { quoteForMessage } from './quote.js';
export type { SleepPolicy } from './sleep-policy.js';
export { type StreamEnd, type StreamOpen, streamEndCodec, streamOpenCodec } from './stream-end.js';
export type { TenantNet } from './tenant-net.js';
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
export type { InstanceActivity } from './v2/activity-view.js';
export type { AuditEntryView, AuditReportView } from './v2/audit-views.js';
export { MAX_REQUEST_ID } from './v2/frame-schemas.js';
export {
  type ClientFrame,
  clientFrameCodec,
  decodeFirstFrame,
  type FirstFrame,
  type HelloFrame,
  type ServerFrame,
  serverFrameCodec,
} from './v2/frames.js';
export type {
  DropCounterView,
  NetworkCommand,
  NetworkDriftView,
  NetworkDrops,
  NetworkKindCount,
  NetworkPlan,
  NetworkProbe,
  NetworkReport,
} from './v2/network-views.js';
export type { RequestOrigin } from './v2/origin.js';
export type { V2Response } from './v2/responses.js';
export type {
  HostInfo,
  ImageRef,
  ImageView,
  InstanceDetail,
  InstanceNet,
  InstanceRuntime,
  InstanceView,
  LogChunk,
  PlanStep,
  PlanView,
  PoolView,
  StopReason,
  TenantView,
} from './v2/views.js';
export {
  FIRST_NEGOTIATED_VERSION,
  negotiateVersion,
  PROTOCOL_HISTORY,
  PROTOCOL_VERSION,
  SUPPORTED_VERSIONS,
} from './versions.js';
