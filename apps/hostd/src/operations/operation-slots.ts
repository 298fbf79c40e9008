/**
 * How many operations run at the same time.
 *
 * INVARIANTS
 * - At most `maxParallel` operations are in their first `slowAfterMs`: what makes the host busy is bounded.
 * - One that takes longer waits for something, mostly for its VMM. It gives its place to others, and counts for its tenant
 *   alone, which may have `maxParallel` of them. So VMMs that never answer hold up no other tenant.
 * - Of those that wait, the next one is of the tenant that has the fewest under way; of that tenant, the first that came.
 */
export interface OperationSlots {
  /** Runs `work` when there is a place for it. */
  run<T>(tenantId: string, work: () => Promise<T>): Promise<T>;
}

interface Tenant {
  running: number;
  slow: number;
}

interface Waiting {
  readonly tenantId: string;
  readonly start: () => void;
}

/** `slowAfterMs`: most operations have ended by then. */
export function createOperationSlots(maxParallel: number, slowAfterMs = 2_000): OperationSlots {
  const tenants = new Map<string, Tenant>();
  const waiting: Waiting[] = [];
  let fast = 0;

  const running = ({ tenantId }: Waiting): number => tenants.get(tenantId)?.running ?? 0;
  const mayStart = ({ tenantId }: Waiting): boolean => (tenants.get(tenantId)?.slow ?? 0) < maxParallel;

  function startNext(): void {
    while (fast < maxParallel) {
      let next = -1;
      waiting.forEach((entry, index) => {
        const best = waiting[next];
        if (mayStart(entry) && (best === undefined || running(entry) < running(best))) next = index;
      });
      if (next < 0) return;
      for (const { start } of waiting.splice(next, 1)) start();
    }
  }

  /** Takes a place; the returned function gives it back. */
  function occupy(tenantId: string): () => void {
    const tenant = tenants.get(tenantId) ?? { running: 0, slow: 0 };
    tenants.set(tenantId, tenant);
    tenant.running += 1;
    fast += 1;
    let isSlow = false;
    const timer = setTimeout(() => {
      isSlow = true;
      fast -= 1;
      tenant.slow += 1;
      startNext();
    }, slowAfterMs);
    timer.unref();
    return () => {
      clearTimeout(timer);
      tenant.running -= 1;
      if (isSlow) tenant.slow -= 1;
      else fast -= 1;
      if (tenant.running === 0) tenants.delete(tenantId);
      startNext();
    };
  }

  return {
    run: async (tenantId, work) => {
      const release = await new Promise<() => void>((resolve) => {
        waiting.push({ tenantId, start: () => resolve(occupy(tenantId)) });
        startNext();
      });
      try {
        return await work();
      } finally {
        release();
      }
    },
  };
}
