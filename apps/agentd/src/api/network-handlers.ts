import type { ApiContext, Handlers } from './handler-types.js';

type NetworkRoute = 'verifyNetwork' | 'planNetwork' | 'getNetworkDrops';

/** The tenants' network as hostd sees it; every call asks hostd again. */
export function networkHandlers({ client }: ApiContext): Handlers<NetworkRoute> {
  return {
    async verifyNetwork({ query }) {
      const { type: _, ...report } = await client.request({
        type: 'VerifyNetwork',
        tenant_id: query.tenant ?? null,
        deep: query.deep,
      });
      return report;
    },
    async planNetwork({ query }) {
      const { type: _, ...plan } = await client.request({
        type: 'PlanNetwork',
        tenant_id: query.tenant ?? null,
        from_scratch: query.from_scratch,
      });
      return plan;
    },
    async getNetworkDrops() {
      const { type: _, ...drops } = await client.request({ type: 'NetworkDrops' });
      return drops;
    },
  };
}
