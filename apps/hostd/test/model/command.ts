import type fc from 'fast-check';
import { expect } from 'vitest';
import type { Harness } from './harness.js';
import { operationText } from './requests.js';
import { type Answer, type At, apply, type ModelOperation, type State } from './state.js';

/** The model of a run: the state that hostd is to be in. */
export interface Model {
  state: State;
}

export type Command = fc.AsyncCommand<Model, Harness>;

/**
 * A command: `resolve` says what it comes to in a state, null when that is nothing; `act` does it, moves the model on and
 * says in words what it was. Afterwards model, files and kernel must agree.
 */
export function command<T>(
  name: string,
  resolve: (state: State) => T | null,
  act: (what: T, run: Run) => Promise<unknown>,
): Command {
  let said = name;
  return {
    check: ({ state }) => resolve(state) !== null,
    run: async (model, harness) => {
      const what = resolve(model.state);
      if (what === null) throw new Error(`${name} has nothing to do`);
      const told: string[] = [];
      const acted = await act(what, {
        model,
        harness,
        say: (text) => {
          // A line that goes on with the last one takes its place.
          const last = told.at(-1);
          if (last !== undefined && text.startsWith(last)) told.pop();
          told.push(text);
          said = told.join('; ');
        },
      });
      if (process.env.MVM_MODEL_TRACE !== undefined) process.stderr.write(`${said}\n`);
      // What a refusal had changed in the network would show in the next look all the same.
      await harness.assertConsistent(model.state, acted === 'refused' ? 'left-out' : undefined);
    },
    toString: () => said,
  };
}

/** What a command acts on, and where it says what it did. */
export interface Run {
  readonly model: Model;
  readonly harness: Harness;
  readonly say: (text: string) => void;
}

/** An instance as a line of a counterexample names it. */
export const where = ({ tenant, pool, id }: At): string => `${tenant}/${pool}/${id}`;

/** One request, alone: its answer is the model's, reason included, and so is what follows. Resolves to the answer. */
export async function judged(operation: ModelOperation, { model, harness, say }: Run): Promise<Answer> {
  const expected = apply(model.state, operation);
  say(`${operationText(operation)} → ${expected.answer}`);
  expect(await harness.request(operation), operationText(operation)).toBe(expected.answer);
  model.state = expected.state;
  return expected.answer;
}
