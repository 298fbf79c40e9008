import { networkDropsSchema, networkPlanSchema, networkReportSchema } from '@mvm/protocol/schemas';
import { z } from 'zod';
import { flag, none, tenant } from './parameters.js';
import type { RouteDefinition } from './route.js';

/** Routes for the tenants' networks. */
export const networkRoutes = {
  verifyNetwork: {
    method: 'GET',
    path: '/v1/network/verify',
    summary:
      'The kernel compared with the recorded network, of the host or of one tenant; with `deep`, which needs a tenant, packets from a guest’s place are tried too.',
    params: none,
    query: z
      .strictObject({ tenant: tenant.optional(), deep: flag.default(false) })
      .refine((query) => !query.deep || query.tenant !== undefined, {
        error: 'deep needs tenant beside it',
        path: ['deep'],
      }),
    body: null,
    response: networkReportSchema,
    format: 'json',
  },
  planNetwork: {
    method: 'GET',
    path: '/v1/network/plan',
    summary:
      'The exact text for ip and nft that would bring the network in line, or with `from_scratch` make it anew.',
    params: none,
    query: z.strictObject({ tenant: tenant.optional(), from_scratch: flag.default(false) }),
    body: null,
    response: networkPlanSchema,
    format: 'json',
  },
  getNetworkDrops: {
    method: 'GET',
    path: '/v1/network/drops',
    summary: 'Why guests’ packets were dropped, and how many: every named counter.',
    params: none,
    query: none,
    body: null,
    response: networkDropsSchema,
    format: 'json',
  },
} as const satisfies Record<string, RouteDefinition>;
