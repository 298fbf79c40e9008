export {
  type AgentdClient,
  type AgentdClientOptions,
  type CallOptions,
  createAgentdClient,
  type RouteInput,
} from './client.js';
export {
  type ApiError,
  apiErrorSchema,
  errorBodySchema,
  fromApiError,
  HTTP_STATUS,
  toApiError,
} from './errors.js';
export {
  type Hold,
  holdSchema,
  type InstanceInfo,
  instanceInfoSchema,
  type OperationResult,
  operationResultSchema,
  type PoolSummary,
  poolSummarySchema,
  type StatusCounts,
  statusCountsSchema,
  type TenantSummary,
  tenantSummarySchema,
} from './objects.js';
export {
  type ApplyResult,
  applyResultSchema,
  type PingResult,
  pingResultSchema,
  type VersionInfo,
  versionInfoSchema,
} from './results.js';
export { operationRoutes } from './routes/instances.js';
export type { OperationRoute } from './routes/operation.js';
export type { RouteDefinition } from './routes/route.js';
export { type RouteName, type RouteResponse, routes } from './routes/routes.js';
export {
  type ActionKind,
  type ActionView,
  actionKindSchema,
  actionViewSchema,
  type Decision,
  type DesiredStatus,
  decisionSchema,
  desiredStatusSchema,
  type HostdStatus,
  hostdStatusSchema,
  type NetworkStatus,
  networkStatusSchema,
  type Pass,
  type PoolStatus,
  type Problem,
  passSchema,
  poolStatusSchema,
  problemSchema,
  type Status,
  statusSchema,
} from './status.js';
