export {
  CodedError,
  type CodedErrorInit,
  ERROR_CODES,
  type ErrorCode,
  type ErrorDetails,
  isCodedError,
  quoteForMessage,
  type RetryClass,
  toCodedError,
} from '@mvm/errors';
export type { Codec } from './codec.js';
export { AGENTD_SOCKET_PATH, HOSTD_SOCKET_PATH, STATE_DIR } from './constants.js';
export { type ErrorResponse, errorFromResponse, errorToResponse } from './error-response.js';
export type { GuestProgram, Health } from './guest-program.js';
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
export type {
  NetworkException,
  NetworkLimits,
  NetworkPolicy,
  PoolNetworkPolicy,
  PublishedPort,
} from './network-policy.js';
export type {
  DesiredCounts,
  InstanceResources,
  InstanceStatus,
  PoolSpec,
  Quotas,
  RuntimePolicy,
} from './objects.js';
export type { TenantNet } from './tenant-net.js';
export type { InstanceActivity } from './v2/activity-view.js';
export type { AuditEntryView, AuditReportView } from './v2/audit-views.js';
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
  GuestExit,
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
export { negotiateVersion, PROTOCOL_VERSION, SUPPORTED_VERSIONS } from './versions.js';
