import { instanceViewSchema } from '@mvm/protocol/schemas';
import { z } from 'zod';
import { instanceInfoSchema, poolSummarySchema, tenantSummarySchema } from '../objects.js';
import { whySchema } from '../why.js';
import { flag, none, ofInstance, ofPool, ofTenant, pool, tenant } from './parameters.js';
import type { RouteDefinition } from './route.js';

/** Routes for what there is. */
export const inventoryRoutes = {
  listTenants: {
    method: 'GET',
    path: '/v1/tenants',
    summary: 'All tenants that hostd records, with their pools, sorted by id.',
    params: none,
    query: none,
    body: null,
    response: z.object({ tenants: z.array(tenantSummarySchema) }),
    format: 'json',
  },
  getTenant: {
    method: 'GET',
    path: '/v1/tenants/:tenant',
    summary: 'One tenant with its pools.',
    params: ofTenant,
    query: none,
    body: null,
    response: tenantSummarySchema,
    format: 'json',
  },
  removeTenant: {
    method: 'POST',
    path: '/v1/tenants/:tenant/remove',
    summary:
      'Remove from the host a tenant that the desired state does not name, with its pools, their instances and their disks; success when there is none. Its audit log stays.',
    params: ofTenant,
    query: z.strictObject({ wipe_volumes: flag.default(false) }),
    body: null,
    response: z.object({ tenant_id: z.string(), destroyed: z.int() }),
    format: 'json',
  },
  listPools: {
    method: 'GET',
    path: '/v1/pools',
    summary: 'All pools, or those of one tenant, sorted by tenant and pool.',
    params: none,
    query: z.strictObject({ tenant: tenant.optional() }),
    body: null,
    response: z.object({ pools: z.array(poolSummarySchema) }),
    format: 'json',
  },
  getPool: {
    method: 'GET',
    path: '/v1/tenants/:tenant/pools/:pool',
    summary: 'One pool.',
    params: ofPool,
    query: none,
    body: null,
    response: poolSummarySchema,
    format: 'json',
  },
  removePool: {
    method: 'POST',
    path: '/v1/tenants/:tenant/pools/:pool/remove',
    summary:
      'Remove from the host a pool that the desired state does not name, with its instances and their disks; success when there is none.',
    params: ofPool,
    query: z.strictObject({ wipe_volumes: flag.default(false) }),
    body: null,
    response: z.object({ tenant_id: z.string(), pool_id: z.string(), destroyed: z.int() }),
    format: 'json',
  },
  listInstances: {
    method: 'GET',
    path: '/v1/instances',
    summary: 'All instances, or those of one tenant or pool, sorted by tenant, pool and instance.',
    params: none,
    query: z
      .strictObject({ tenant: tenant.optional(), pool: pool.optional() })
      .refine((query) => query.pool === undefined || query.tenant !== undefined, {
        error: 'pool needs tenant beside it',
        path: ['pool'],
      }),
    body: null,
    response: z.object({ instances: z.array(instanceViewSchema) }),
    format: 'json',
  },
  getInstance: {
    method: 'GET',
    path: '/v1/instances/:tenant/:pool/:instance',
    summary: 'One instance with its process, its last console lines and what agentd holds back for it.',
    params: ofInstance,
    query: none,
    body: null,
    response: instanceInfoSchema,
    format: 'json',
  },
  whyInstance: {
    method: 'GET',
    path: '/v1/instances/:tenant/:pool/:instance/why',
    summary: 'What was done with an instance lately and why, and what would have to change.',
    params: ofInstance,
    query: none,
    body: null,
    response: whySchema,
    format: 'json',
  },
} as const satisfies Record<string, RouteDefinition>;
