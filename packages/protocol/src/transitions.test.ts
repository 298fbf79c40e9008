import { describe, expect, it } from 'vitest';
import { type InstanceStatus, instanceStatusSchema } from './objects.js';
import { assertTransition, INSTANCE_TRANSITIONS, type InstanceOperation } from './transitions.js';

const legal: [InstanceStatus, InstanceOperation, InstanceStatus][] = [
  ['created', 'prepare', 'ready'],
  ['ready', 'start', 'running'],
  ['stopped', 'start', 'running'],
  ['running', 'warm', 'warm'],
  ['warm', 'resume', 'running'],
  ['running', 'sleep', 'sleeping'],
  ['warm', 'sleep', 'sleeping'],
  ['sleeping', 'wake', 'running'],
  ['running', 'stop', 'stopped'],
  ['warm', 'stop', 'stopped'],
  ['sleeping', 'stop', 'stopped'],
  ...instanceStatusSchema.options.map((from): [InstanceStatus, InstanceOperation, InstanceStatus] => [
    from,
    'destroy',
    'destroyed',
  ]),
];

const all = instanceStatusSchema.options.flatMap((from) => {
  return (Object.keys(INSTANCE_TRANSITIONS) as InstanceOperation[]).map(
    (operation) => [from, operation] as const,
  );
});

describe('transitions', () => {
  it.each(all)('%s, %s', (from, operation) => {
    const expected = legal.find((entry) => entry[0] === from && entry[1] === operation);
    if (expected !== undefined) {
      expect(assertTransition(from, operation)).toBe(expected[2]);
      return;
    }
    const { to } = INSTANCE_TRANSITIONS[operation];
    expect(() => assertTransition(from, operation)).toThrow(
      expect.objectContaining({
        code: 'failed_precondition',
        reason: 'instance.invalid_transition',
        message: expect.stringContaining(`from ${from} to ${to}`),
        details: { operation, from, to },
      }),
    );
  });
});
