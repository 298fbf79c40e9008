import { readFileSync, writeFileSync } from 'node:fs';
import type { InstanceActivity, InstanceView } from '@mvm/protocol';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { createMetrics } from './metrics.js';

const ROOT = new URL('../../../../', import.meta.url);
const PAGE = new URL('docs/monitoring.md', ROOT);
const TABLE = /^\| family \|.*\n(?:\|.*\n)+/m;

const view = (instance_id: string, status: string, exit_count?: number): InstanceView =>
  ({ tenant_id: 'acme', pool_id: 'web', instance_id, status, exit_count }) as unknown as InstanceView;
const busy = {
  tenant_id: 'acme',
  pool_id: 'web',
  instance_id: 'i-1',
  cpu_usec: 1_500_000,
  rx_bytes: 10,
  tx_bytes: 20,
};
const activity = [{ ...busy, memory_bytes: 4096 } as unknown as InstanceActivity];
const pools = [
  {
    tenant_id: 'acme',
    pool_id: 'web',
    wanted: { running: 2, warm: 0, sleeping: 1 },
    held: 1,
    converged: false,
  },
] as never;
const seen = { instances: [view('i-1', 'running', 3), view('i-2', 'stopped')], activity, pools };

async function linesOf(metrics: ReturnType<typeof createMetrics>): Promise<string[]> {
  return (await metrics.render()).text.split('\n').filter((line) => /^mvm_(pool|instance)_/.test(line));
}

describe('metrics per pool and instance', () => {
  it('are what hostd says at the scrape', async () => {
    const metrics = createMetrics();
    metrics.hostSeen(seen);
    const lines = await linesOf(metrics);
    const web = 'tenant="acme",pool="web"';
    expect(lines).toEqual(
      expect.arrayContaining([
        `mvm_pool_instances{${web},status="running"} 1`,
        `mvm_pool_instances{${web},status="warm"} 0`,
        `mvm_pool_desired_instances{${web},status="running"} 2`,
        `mvm_pool_held_instances{${web}} 1`,
        `mvm_pool_converged{${web}} 0`,
        `mvm_instance_status{${web},instance="i-2",status="stopped"} 1`,
        `mvm_instance_exits_total{${web},instance="i-1"} 3`,
        `mvm_instance_cpu_seconds_total{${web},instance="i-1"} 1.5`,
        `mvm_instance_memory_bytes{${web},instance="i-1"} 4096`,
        `mvm_instance_network_bytes_total{${web},instance="i-1",direction="transmit"} 20`,
      ]),
    );
  });

  it('go when the instance goes, do not add up, and are none without hostd', async () => {
    const metrics = createMetrics();
    metrics.hostSeen(seen);
    metrics.hostSeen({ ...seen, instances: [view('i-1', 'running', 3)] });
    const lines = await linesOf(metrics);
    expect(lines.filter((line) => line.includes('i-2'))).toEqual([]);
    expect(lines).toContain('mvm_instance_exits_total{tenant="acme",pool="web",instance="i-1"} 3');
    metrics.hostSeen(null);
    expect(await linesOf(metrics)).toEqual([]);
    expect((await metrics.render()).text).toMatch(/^mvm_agentd_hostd_up 0$/m);
  });
});

describe('docs/monitoring.md, the alert rules and the dashboard', () => {
  it('the page has the table of these families (update: MVM_UPDATE_CONTRACT=1)', () => {
    const rows = createMetrics()
      .describe()
      .map(
        ({ name, type, labels, help }) =>
          `| \`${name}\` | ${type} | ${labels.join(', ') || ''} | ${help} |\n`,
      );
    const table = `| family | type | labels | meaning |\n|---|---|---|---|\n${rows.join('')}`;
    if (process.env.MVM_UPDATE_CONTRACT === '1') {
      writeFileSync(
        PAGE,
        readFileSync(PAGE, 'utf8').replace(TABLE, () => table),
      );
    }
    expect(TABLE.exec(readFileSync(PAGE, 'utf8'))?.[0]).toBe(table);
  });

  const families = createMetrics().describe();
  const names = new Set(
    families.flatMap(({ name, type }) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
  const labels = new Set(families.flatMap((family) => family.labels));
  const expressions = (): string[] => {
    const alerts = parse(readFileSync(new URL('deploy/monitoring/alerts.yml', ROOT), 'utf8'));
    const dashboard = JSON.parse(
      readFileSync(new URL('deploy/monitoring/grafana-dashboard.json', ROOT), 'utf8'),
    );
    return [
      ...alerts.groups.flatMap((group: { rules: { expr: string }[] }) => group.rules.map(({ expr }) => expr)),
      ...dashboard.panels.flatMap((panel: { targets: { expr: string }[] }) =>
        panel.targets.map(({ expr }) => expr),
      ),
    ];
  };

  it('the rules and panels use families that there are', () => {
    const used = expressions().flatMap((text) => text.match(/\bmvm_\w+/g) ?? []);
    expect(used.length).toBeGreaterThan(15);
    expect(used.filter((name) => !names.has(name))).toEqual([]);
  });

  it('and labels that they have', () => {
    const used = expressions().flatMap((text) =>
      [...text.matchAll(/(\w+)\s*(?:=~|!=|=)\s*"/g)].map(([, name]) => name),
    );
    expect(used.filter((name) => name !== 'job' && !labels.has(name ?? ''))).toEqual([]);
  });
});
