import { describe, expect, it } from 'vitest';
import { type InstanceStatus, instanceStatusSchema } from '../objects.js';
import { assertTransition, INSTANCE_TRANSITIONS, type InstanceOperation } from './transitions.js';

const legal: [InstanceStatus, InstanceOperation, InstanceStatus][] = [
  ['created', 'prepare', 'ready'],
  ['ready', 'start', 'running'],
  ['stopped', 'start', 'running'],
  ['running', 'warm', 'warm'],
  ['warm', 'resume', 'running'],
  ['running', 'reboot', 'running'],
  ['warm', 'reboot', 'running'],
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
        hint: expect.stringMatching(/\.$/),
      }),
    );
  });

  it.each([
    ['sleeping', 'start', 'mvm instance wake'],
    ['warm', 'wake', 'mvm instance resume'],
    ['stopped', 'wake', 'mvm instance start'],
    ['ready', 'sleep', 'mvm instance start'],
    ['created', 'start', 'mvm image add'],
    ['running', 'start', 'nothing to do'],
    ['running', 'resume', 'nothing to do'],
    ['stopped', 'stop', 'nothing to do'],
    ['created', 'stop', 'nothing to stop'],
    ['destroyed', 'start', 'mvm instance list'],
  ] as const)('%s, %s hints at the next step', (from, operation, step) => {
    expect(() => assertTransition(from, operation)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining(step) }),
    );
  });
});
