import type { PlanStep, PlanView } from '@mvm/protocol';
import type { CliContext } from '../context.js';
import { onOneLine } from '../format/control-characters.js';
import { renderDocument } from '../format/documents.js';
import { renderTable } from '../format/table.js';
import type { Invocation } from '../invocation.js';

/** The plan of one object, by which it is shown. */
export interface ObjectPlan {
  /** Fit to be passed to another command, as `-o name` prints it. */
  readonly name: string;
  /** What would have happened, e.g. `would be stopped`. */
  readonly outcome: string;
  readonly plan: PlanView;
  /** What the object is known by in `-o json`, before the plan's own fields. */
  readonly identity: Readonly<Record<string, unknown>>;
}

const COLUMNS = [
  { header: 'STEP', cell: (step: PlanStep) => step.kind },
  { header: 'OBJECT', cell: (step: PlanStep) => step.object },
  { header: 'WHAT', cell: (step: PlanStep) => step.what },
];

/**
 * Prints what dry runs answered: for people one table of steps per object, and beside it what would become of the object;
 * for scripts a document of kind `<kind>PlanList` with every step as hostd told it.
 */
export async function printPlans(
  context: CliContext,
  { format }: Invocation,
  kind: string,
  plans: readonly ObjectPlan[],
): Promise<void> {
  if (format === 'json' || format === 'yaml') {
    const items = plans.map(({ identity, plan }) => ({ ...identity, ...plan }));
    context.stdout.write(await renderDocument(`${kind}PlanList`, { items }, format));
    return;
  }
  for (const { name, outcome, plan } of plans) {
    if (format === 'name') {
      context.stdout.write(`${name}\n`);
      continue;
    }
    if (plans.length > 1) context.stdout.write(`${context.colours.bold(name)}\n`);
    if (plan.steps.length > 0) context.stdout.write(renderTable(plan.steps, COLUMNS, false));
    if (plans.length > 1) context.stdout.write('\n');
    for (const note of plan.notes) {
      context.say(`${context.errorColours.yellow('note:')} ${name}: ${onOneLine(note)}`);
    }
    const fate = plan.steps.length === 0 && plan.notes.length === 0 ? 'would stay as it is' : outcome;
    context.say(`${name} ${fate}; nothing was changed`);
  }
}
