import type { AuditEntry } from '@mvm/audit-log';
import type { InstanceAddress } from '../state/layout.js';
import type { OperationDeps } from './operation.js';
import type { OperationContext } from './operation-context.js';

/** The line in its tenant's audit log of a VM that ended without a request, and that was cleaned up. */
export function exitEntry(
  address: InstanceAddress,
  how: Pick<AuditEntry, 'op_id' | 'at' | 'result' | 'reason' | 'message' | 'duration_ms'>,
): AuditEntry {
  return { operation: 'vm_exited', ...address, peer: null, code: null, ...how };
}

/**
 * Say in log and audit log that a VM was gone, which ended while no hostd watched it, and that the instance is stopped for
 * that. An audit log that cannot be written does not keep hostd from going on.
 */
export async function auditLoss(
  address: InstanceAddress,
  message: string,
  { opId, logger }: OperationContext,
  { audit, clock }: Pick<OperationDeps, 'audit' | 'clock'>,
): Promise<void> {
  const { tenant_id: tenant, pool_id: pool, instance_id: instance } = address;
  logger.warn(
    { tenant, pool, instance, problem: message },
    'a VM was gone; it is cleaned up and recorded as stopped',
  );
  const how = {
    op_id: opId,
    at: clock.now(),
    result: 'error',
    reason: 'lost',
    message,
    duration_ms: 0,
  } as const;
  await audit.append(exitEntry(address, how)).catch((error: unknown) => {
    logger.error({ tenant, err: error }, 'an audit entry could not be written');
  });
}
