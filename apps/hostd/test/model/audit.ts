import { existsSync, readFileSync } from 'node:fs';
import type { ModelHost } from './host.js';
import type { Answer, ModelOperation } from './state.js';

const OPERATION: Readonly<Partial<Record<ModelOperation['op'], string>>> = {
  setup: 'setup_network',
  teardown: 'teardown_network',
  'ensure-tenant': 'ensure_tenant',
  'remove-tenant': 'remove_tenant',
  'ensure-pool': 'ensure_pool',
  'remove-pool': 'remove_pool',
};

export const tenantOf = (operation: ModelOperation): string =>
  'at' in operation ? operation.at.tenant : operation.tenant;

function keyOf(operation: ModelOperation, answer: Answer): string {
  const pool = 'at' in operation ? operation.at.pool : 'pool' in operation ? operation.pool : null;
  const instance = 'at' in operation ? operation.at.id : null;
  return [OPERATION[operation.op] ?? operation.op, tenantOf(operation), pool, instance, answer].join(' ');
}

function entryKeys({ layout }: ModelHost, tenant: string): string[] {
  const path = layout.auditLog(tenant);
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { operation, tenant_id, pool_id, instance_id, result, code, reason } = JSON.parse(line);
      const answer = result === 'ok' ? 'ok' : `${code} ${reason}`;
      return [operation, tenant_id, pool_id, instance_id, answer].join(' ');
    });
}

/** Holds the audit logs to what was answered. */
export interface AuditJudge {
  /** To be called before a request is sent; with its answer, when one was heard. */
  sending(operation: ModelOperation): (answer: Answer) => void;
  /** Answered requests that their tenant's log does not hold, or holds once less than they were answered. */
  problems(): string[];
}

/** Judges what is asked from now on. A tenant that has no directory has no log; one that was removed keeps it. */
export function createAuditJudge(host: ModelHost, tenants: readonly string[]): AuditJudge {
  const before = new Map(tenants.map((tenant) => [tenant, entryKeys(host, tenant).length]));
  const answered: { readonly key: string; readonly tenant: string }[] = [];
  return {
    sending: (operation) => {
      const tenant = tenantOf(operation);
      const hasLog = existsSync(host.layout.tenantDir(tenant));
      return (answer) => {
        if (hasLog || answer === 'ok') answered.push({ key: keyOf(operation, answer), tenant });
      };
    },
    problems: () => {
      const left = tenants.flatMap((tenant) => entryKeys(host, tenant).slice(before.get(tenant)));
      return answered.flatMap(({ key, tenant }) => {
        const at = left.indexOf(key);
        if (at < 0) return [`the audit log of ${tenant} does not say: ${key}`];
        left.splice(at, 1);
        return [];
      });
    },
  };
}
