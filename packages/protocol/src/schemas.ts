export { guestAgentRequestSchemas, guestAgentResponseSchemas } from './guest/agent.js';
export { streamSpecSchema } from './guest/stream.js';
export { healthSchema, restartSchema } from './guest-program.js';
export { plannableRequestSchemas, v2RequestSchemas } from './methods.js';
export {
  networkExceptionSchema,
  networkLimitsSchema,
  networkPolicySchema,
  poolNetworkPolicySchema,
  publishedPortSchema,
} from './network-policy.js';
export {
  desiredCountsSchema,
  instanceResourcesSchema,
  instanceStatusSchema,
  poolSpecSchema,
  quotasSchema,
  roleSchema,
  runtimePolicySchema,
} from './objects.js';
export { sleepPolicySchema } from './sleep-policy.js';
export { desiredPoolSchema, desiredStateSchema, desiredTenantSchema } from './state/desired-state.js';
export { tenantNetSchema } from './tenant-net.js';
export { instanceActivitySchema } from './v2/activity-view.js';
export { auditEntryViewSchema, auditReportViewSchema } from './v2/audit-views.js';
export { helloSchema, requestIdSchema, welcomeSchema } from './v2/frame-schemas.js';
export {
  dropCounterViewSchema,
  networkCommandSchema,
  networkDriftViewSchema,
  networkDropsSchema,
  networkKindCountSchema,
  networkPlanSchema,
  networkProbeSchema,
  networkReportSchema,
} from './v2/network-views.js';
export { requestOriginSchema } from './v2/origin.js';
export { v2ResponseSchemas } from './v2/responses.js';
export {
  guestExitSchema,
  hostInfoSchema,
  imageRefSchema,
  imageViewSchema,
  instanceDetailSchema,
  instanceNetSchema,
  instanceRuntimeSchema,
  instanceViewSchema,
  logChunkSchema,
  planSchema,
  planStepSchema,
  poolViewSchema,
  stopReasonSchema,
  tenantViewSchema,
} from './v2/views.js';
