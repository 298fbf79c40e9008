import type { AuditEntryView } from '@mvm/protocol';
import { isCodedError } from '@mvm/protocol';
import type { Scope } from '../address/address.js';
import type { CliContext } from '../context.js';

/** As many entries of the latest time as are remembered, to tell them from new ones of the same time. */
const MAX_REMEMBERED = 10_000;

/** Reads the audit logs of all tenants, or of one, again and again; each entry once. */
export class EventReader {
  readonly #context: CliContext;
  readonly #scope: Scope;
  readonly #begin: string;
  /** Per tenant the time from which to read on, and the entries at or after it that were returned. */
  readonly #read = new Map<string, { since: string; seen: Set<string> }>();

  /** `since` is RFC 3339. */
  constructor(context: CliContext, scope: Scope, since: string) {
    this.#context = context;
    this.#scope = scope;
    this.#begin = since;
  }

  /** What is new since the last call, or since the beginning, by time. Errors: those of agentd. */
  async read(): Promise<AuditEntryView[]> {
    const agentd = await this.#context.agentd();
    const { tenantId, poolId } = this.#scope;
    const options = { signal: this.#context.signal };
    const tenants =
      tenantId === undefined
        ? (await agentd.listTenants({}, options)).tenants.map(({ tenant_id }) => tenant_id)
        : [tenantId];
    const found = await Promise.all(tenants.map((tenant) => this.#readTenant(tenant)));
    return found
      .flat()
      .filter(({ pool_id }) => poolId === undefined || pool_id === poolId)
      .toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  }

  async #readTenant(tenant: string): Promise<AuditEntryView[]> {
    const agentd = await this.#context.agentd();
    const { since, seen } = this.#read.get(tenant) ?? { since: this.#begin, seen: new Set<string>() };
    const entries: AuditEntryView[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const query = { since, ...(cursor === undefined ? {} : { cursor }) };
      const page = await agentd
        .getAuditLog({ params: { tenant }, query }, { signal: this.#context.signal })
        .catch((error: unknown) => {
          // Removed since the list was made; a tenant that was asked for by name is named in the error.
          if (this.#scope.tenantId === undefined && isCodedError(error) && error.code === 'not_found')
            return null;
          throw error;
        });
      if (page === null) return entries;
      entries.push(...page.entries);
      cursor = page.next_cursor;
    }
    const fresh = entries.filter((entry) => !seen.has(keyOf(entry)));
    const latest = [since, ...entries.map(({ at }) => at)].sort().at(-1) ?? since;
    const atLatest = entries.filter(({ at }) => at >= latest).slice(-MAX_REMEMBERED);
    this.#read.set(tenant, {
      since: latest,
      seen: new Set([...seen, ...atLatest.map(keyOf)].slice(-MAX_REMEMBERED)),
    });
    return fresh;
  }
}

function keyOf({ seq, op_id, at, operation }: AuditEntryView): string {
  return `${seq} ${op_id} ${at} ${operation}`;
}
