import type { z } from 'zod';
import { auditRoutes } from './audit.js';
import { daemonRoutes } from './daemon.js';
import { instanceRoutes } from './instances.js';
import { inventoryRoutes } from './inventory.js';
import { networkRoutes } from './network.js';
import type { RouteDefinition } from './route.js';

/** Every route of agentd's API except the OpenAPI document itself, `GET /openapi.json`. */
export const routes = {
  ...daemonRoutes,
  ...inventoryRoutes,
  ...instanceRoutes,
  ...networkRoutes,
  ...auditRoutes,
} as const satisfies Record<string, RouteDefinition>;

export type RouteName = keyof typeof routes;
/** The decoded response of a route. */
export type RouteResponse<N extends RouteName> = z.output<(typeof routes)[N]['response']>;
