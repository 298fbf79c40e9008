/** `skip`: could not be looked at because something else is missing, which has a check of its own. */
export type Verdict = 'ok' | 'warn' | 'fail' | 'skip';

/** What a check found. */
export interface Finding {
  readonly verdict: Verdict;
  /** What was found, in a few words. */
  readonly detail: string;
  /** What to do about it; given whenever the verdict is `warn` or `fail`. */
  readonly fix?: string;
}

/** A finding with its place in the report. */
export interface CheckResult extends Finding {
  /** Stable, for scripts. */
  readonly check: string;
  readonly area: Area;
}

export type Area = 'host' | 'tools' | 'accounts' | 'network' | 'daemons' | 'security';

export interface Check<Subject> {
  readonly name: string;
  readonly area: Area;
  readonly run: (subject: Subject) => Promise<Finding>;
}

export function ok(detail: string): Finding {
  return { verdict: 'ok', detail };
}

export function warn(detail: string, fix: string): Finding {
  return { verdict: 'warn', detail, fix };
}

export function fail(detail: string, fix: string): Finding {
  return { verdict: 'fail', detail, fix };
}

export function skip(detail: string): Finding {
  return { verdict: 'skip', detail };
}

/** Runs checks one after the other, each on its subject; one that throws is a failed one. */
export async function runChecks<S>(
  checks: readonly Check<S>[],
  subject: S,
  subjectOf: (check: Check<S>) => S = () => subject,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const check of checks) {
    const finding = await check.run(subjectOf(check)).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      return fail(`could not be checked: ${why}`, 'see whether this user may read what the check reads');
    });
    results.push({ check: check.name, area: check.area, ...finding });
  }
  return results;
}
