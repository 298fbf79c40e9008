import type { Why } from '@mvm/agentd-api';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { runMvm } from './run-mvm.js';

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

const address = { tenant_id: 'acme', pool_id: 'web', instance_id: 'i-00000001' };
const answer: Why = {
  ...address,
  status: 'running',
  status_since: '2026-11-25T08:00:00.000Z',
  operation: null,
  hold: null,
  sleep_policy: {
    warm_threshold_secs: null,
    sleep_threshold_secs: 900,
    cpu_threshold: 5,
    net_bytes_threshold: 1024,
    min_running: 0,
    wake_on_connect: true,
  },
  next: [
    {
      action: 'sleep',
      conditions: [
        { name: 'idle_seconds', must: 'idle for 900 s', now: '35 s', met: false },
        { name: 'hold', must: 'no operator holds it', now: 'not held', met: true },
      ],
    },
  ],
  problems: [],
  decisions: [
    {
      at: '2026-11-25T07:00:00.000Z',
      source: 'planner',
      action: 'sleep',
      reason: "idle for 912 s, and the pool's sleep_threshold_secs is 900 s: put it to sleep",
      rule: {
        name: 'sleep_policy.idle',
        values: { idle_seconds: 912, cpu_percent: 0.4 },
        thresholds: { sleep_threshold_secs: 900, cpu_threshold: 5 },
      },
      request: 'SleepInstance',
      steps: ['first \u001b[31mstep'],
      duration_ms: 1234,
      error: null,
      audit: null,
    },
  ],
};

it('prints the chain of the last actions, and what would have to change', async () => {
  agentd.overrides.whyInstance = () => answer;
  const { stdout, code } = await runMvm(['why', 'acme/web/i-00000001'], { socket: agentd.socketPath });
  expect(code).toBe(0);
  for (const part of [
    /Sleep policy: +pause never, sleep after 15m, 0 always run/,
    /sleep by agentd, 1\.\ds: ok/,
    /rule: +sleep_policy\.idle/,
    /seen: +idle_seconds 912, cpu_percent 0\.4/,
    /thresholds: +sleep_threshold_secs 900, cpu_threshold 5/,
    /request: +SleepInstance/,
    /To sleep by itself\n {2}✗ idle for 900 s \(35 s\)\n {2}✓ no operator holds it \(not held\)/,
  ]) {
    expect(stdout).toMatch(part);
  }
  expect(stdout).not.toContain('\u001b');
});

it('prints it as a document', async () => {
  agentd.overrides.whyInstance = () => answer;
  const { stdout } = await runMvm(['why', 'acme/web/i-00000001', '-o', 'json'], {
    socket: agentd.socketPath,
  });
  expect(JSON.parse(stdout)).toMatchObject({ kind: 'Why', ...answer });
});
