import { z } from 'zod';

/** A tenant's network as it stands on the wire; meaning is checked by `checkTenantNet`. */
export const tenantNetSchema = z.object({
  /** u16 on the wire. */
  tenant_net_id: z.int().min(0).max(65_535),
  ipv4_subnet: z.string(),
  gateway_ip: z.string(),
  bridge_name: z.string(),
});
export type TenantNet = z.infer<typeof tenantNetSchema>;
