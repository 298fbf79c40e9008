import { describe, expect, it } from 'vitest';
import { sleepPolicySchema } from './sleep-policy.js';

describe('sleep policy', () => {
  it('has the defaults of version 1 peers', () => {
    expect(sleepPolicySchema.parse({})).toEqual({
      warm_threshold_secs: 300,
      sleep_threshold_secs: 900,
      cpu_threshold: 5,
      net_bytes_threshold: 1024,
      min_running: 0,
      wake_on_connect: true,
    });
  });

  it('reads what version 1 peers write', () => {
    const theirs = {
      warm_threshold_secs: 60,
      sleep_threshold_secs: 120,
      cpu_threshold: 2.5,
      net_bytes_threshold: 0,
    };
    expect(sleepPolicySchema.parse(theirs)).toMatchObject(theirs);
  });

  it.each([
    ['a negative time', { warm_threshold_secs: -1 }],
    ['half a second', { sleep_threshold_secs: 0.5 }],
    ['a negative share', { cpu_threshold: -0.1 }],
    ['an endless share', { cpu_threshold: Number.POSITIVE_INFINITY }],
    ['an unknown field', { idle_secs: 5 }],
  ])('refuses %s', (_what, value) => {
    expect(sleepPolicySchema.safeParse(value).success).toBe(false);
  });
});
