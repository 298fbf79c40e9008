export {
  type AgentdClient,
  type CallOptions,
  createAgentdClient,
} from './client.js';
export {
  type ApiError,
  errorBodySchema,
  fromApiError,
  HTTP_STATUS,
  toApiError,
} from './errors.js';
export {
  attachGuestSession,
  type GuestStreamSession,
  openGuestSession,
  STREAM_PROTOCOL,
} from './guest-stream.js';
export {
  type Hold,
  holdSchema,
  type InstanceInfo,
  type OperationResult,
  type PoolSummary,
  type StatusCounts,
  type TenantSummary,
} from './objects.js';
export type {
  ApplyResult,
  VersionInfo,
} from './results.js';
export { operationRoutes } from './routes/instances.js';
export type { GuestTime, OperationRoute } from './routes/operation.js';
export type { RouteDefinition } from './routes/route.js';
export { type RouteName, type RouteResponse, routes } from './routes/routes.js';
export type {
  ActionView,
  Decision,
  DesiredStatus,
  HostdStatus,
  NetworkStatus,
  Pass,
  PoolStatus,
  Problem,
  Status,
} from './status.js';
export { problemSchema } from './status.js';
export { type Condition, type InstanceDecision, instanceDecisionSchema, type Why } from './why.js';
