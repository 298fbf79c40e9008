import type { CliContext } from '../context.js';
import type { Invocation } from '../invocation.js';
import { printPlans } from '../plan/print-plans.js';

/** What setting or removing a secret would do: one file replaced. Nothing of a value is in it. */
export async function printSecretPlan(
  context: CliContext,
  invocation: Invocation,
  plan: { readonly name: string; readonly what: 'added' | 'replaced' | 'removed'; readonly path: string },
): Promise<void> {
  const { name, what, path } = plan;
  const step = {
    kind: 'secrets.write',
    object: path,
    what: `write the file again, with ${name} ${what}`,
    args: { name },
  };
  await printPlans(context, invocation, 'Secret', [
    {
      name,
      outcome: `would be ${what}`,
      plan: {
        operation: what === 'removed' ? 'secret_remove' : 'secret_set',
        on_failure: 'undo',
        steps: [step],
        notes: ['guests get it at their next start or wake'],
      },
      identity: { name },
    },
  ]);
}
