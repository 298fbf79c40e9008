import { expect, test } from 'vitest';
import { type Admission, ANSWER_BYTES, createCallerBudget, SHORT_ANSWER_BYTES } from './caller-budget.js';

const limits = { maxConnections: 2, maxInFlight: 3, maxAnswerBytes: 2 * ANSWER_BYTES + 100 };
const turn = () => new Promise((resolve) => setImmediate(resolve));

function ask(
  budget: ReturnType<typeof createCallerBudget>,
  uid: number,
  bytes = ANSWER_BYTES,
): { admission: Admission | null } {
  const asked: { admission: Admission | null } = { admission: null };
  void budget.admit(uid, bytes).then((admission) => {
    asked.admission = admission;
  });
  return asked;
}

test('finding 16: requests of one user wait for its own, in order, and not for those of other users', async () => {
  const budget = createCallerBudget(limits);
  const [first, second, third, fourth, other] = [1, 1, 1, 1, 2].map((uid) => ask(budget, uid));
  await turn();
  expect([first, second, third, fourth, other].map((one) => one?.admission !== null)).toEqual([
    true,
    true,
    false,
    false,
    true,
  ]);
  // A small answer that is not taken leaves room for more answers, as far as requests may be under way.
  first?.admission?.answered(10);
  await turn();
  expect(third?.admission).not.toBeNull();
  second?.admission?.answered(10);
  await turn();
  expect(fourth?.admission).toBeNull();
  first?.admission?.release();
  first?.admission?.release();
  await turn();
  expect(fourth?.admission).not.toBeNull();
});

test('finding 16: answers that are not taken keep requests from being carried out', async () => {
  const budget = createCallerBudget({ ...limits, maxInFlight: 100 });
  const big = ask(budget, 1);
  await turn();
  big.admission?.answered(2 * ANSWER_BYTES + 100);
  const next = ask(budget, 1);
  await turn();
  expect(next.admission).toBeNull();
  // A stop is carried out all the same.
  const stop = ask(budget, 1, SHORT_ANSWER_BYTES);
  await turn();
  expect([next.admission, stop.admission === null]).toEqual([null, false]);
  big.admission?.release();
  stop.admission?.release();
  await turn();
  expect(next.admission).not.toBeNull();
});

test('reads that are not answered yet let a stop pass, as far as requests may be under way', async () => {
  const budget = createCallerBudget(limits);
  const reads = [ask(budget, 1), ask(budget, 1)];
  const [stop, second] = [ask(budget, 1, SHORT_ANSWER_BYTES), ask(budget, 1, SHORT_ANSWER_BYTES)];
  await turn();
  expect([...reads, stop, second].map(({ admission }) => admission !== null)).toEqual([
    true,
    true,
    true,
    false,
  ]);
  stop.admission?.release();
  await turn();
  expect(second.admission).not.toBeNull();
});

test('finding 16: one connection too many of a user is refused, until another ends', () => {
  const budget = createCallerBudget(limits);
  const ends = [budget.connect(1), budget.connect(1)];
  expect(budget.connect(1)).toBeNull();
  expect(budget.connect(2)).not.toBeNull();
  ends[0]?.();
  ends[0]?.();
  expect(budget.connect(1)).not.toBeNull();
  expect(budget.connect(1)).toBeNull();
});
