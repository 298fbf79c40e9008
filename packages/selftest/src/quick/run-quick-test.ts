import { createCrashHost } from '../crash/crash-host.js';
import { createFixture } from '../crash/fixture.js';
import { KEEPER, prepareTenants } from '../crash/targets.js';
import type { InsideOptions, SelftestEvent } from '../events.js';
import { commonLines, diffLines, viewHost } from '../host/host-view.js';

/**
 * The short test of a host: one guest boots, its tenant's network blocks what it must not pass (`verify --deep`), it goes to sleep, wakes as the same boot, survives a hostd that is killed, and
 * is destroyed; then nothing is left. Each stage is a result.
 */
export async function runQuickTest(
  options: InsideOptions,
  emit: (event: SelftestEvent) => void,
): Promise<void> {
  emit({ type: 'progress', text: 'making a host of its own' });
  const host = await createCrashHost(options);
  const fixture = await createFixture(host);
  await prepareTenants(host);
  const before = await viewHost(host);
  const stage = async (step: string, work: () => Promise<readonly string[]>): Promise<boolean> => {
    emit({ type: 'progress', text: step });
    const began = performance.now();
    const problems = await work().catch((error: unknown) => [
      error instanceof Error ? error.message : String(error),
    ]);
    const ms = Math.round(performance.now() - began);
    const outcome = problems.length === 0 ? 'ok' : '';
    const id = `quick/${step}`;
    emit({ type: 'case', result: { id, operation: 'quick', step, moment: '', outcome, problems, ms } });
    return problems.length === 0;
  };
  const { keeper } = fixture;
  const passed =
    (await stage('start', async () => {
      await keeper.goTo('running');
      await fixture.awaitGuest('keeper');
      return [];
    })) &&
    (await stage('network', async () => {
      const report = await host.client.request({
        type: 'VerifyNetwork',
        tenant_id: KEEPER.tenant_id,
        deep: true,
      });
      return [
        ...report.drifts.map(({ name, state }) => `${name} is ${state}`),
        ...(report.probes ?? [])
          .filter(({ outcome }) => outcome === 'not_as_wanted')
          .map(({ name, detail }) => `probe ${name}: ${detail}`),
      ];
    })) &&
    (await stage('sleep', async () => {
      await host.client.request({ type: 'SleepInstance', ...KEEPER, force: false });
      return [];
    })) &&
    (await stage('wake', async () => {
      await keeper.goTo('running');
      return await fixture.guestProblems('keeper');
    })) &&
    (await stage('kill -9 of hostd', async () => {
      host.hostd().signal('SIGKILL');
      await host.hostd().exited;
      await host.restart();
      return await fixture.guestProblems('keeper');
    }));
  await stage('destroy', async () => {
    await keeper.goTo('absent');
    return passed ? diffLines(commonLines(before, []), await viewHost(host)) : [];
  });
}
