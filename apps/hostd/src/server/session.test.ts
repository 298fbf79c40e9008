import { expect, test } from 'vitest';
import { ANSWER_BYTES, SHORT_ANSWER_BYTES } from './caller-budget.js';
import { answerBytes } from './session.js';

test.each([
  ['Ping', SHORT_ANSWER_BYTES],
  ['StopInstance', SHORT_ANSWER_BYTES],
  ['WaitForChange', SHORT_ANSWER_BYTES],
  ['ListInstances', ANSWER_BYTES],
  ['InstanceLogs', ANSWER_BYTES],
] as const)('%s may answer %d bytes', (type, bytes) => {
  expect(answerBytes({ type })).toBe(bytes);
});
