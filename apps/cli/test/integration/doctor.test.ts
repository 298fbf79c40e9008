import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { runMvm } from './run-mvm.js';

interface Diagnosis {
  kind: string;
  healthy: boolean;
  checks: { check: string; area: string; verdict: string; detail: string; fix?: string }[];
}

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

async function diagnose(socket: string): Promise<{ diagnosis: Diagnosis; code: number | null }> {
  const { stdout, code } = await runMvm(['doctor', '-o', 'json'], { socket });
  return { diagnosis: JSON.parse(stdout) as Diagnosis, code };
}

function verdicts({ checks }: Diagnosis): Record<string, string> {
  return Object.fromEntries(checks.map(({ check, verdict }) => [check, verdict]));
}

describe('mvm doctor on this machine', () => {
  it('finds the daemons, and has a fix for all that is wrong', async () => {
    const { diagnosis, code } = await diagnose(agentd.socketPath);
    expect(diagnosis.kind).toBe('Diagnosis');
    expect(verdicts(diagnosis)).toMatchObject({
      node: 'ok',
      agentd: 'ok',
      hostd: 'ok',
      versions: 'ok',
      images: 'ok',
    });
    for (const { verdict, fix, detail } of diagnosis.checks) {
      expect(detail).not.toBe('');
      if (verdict === 'warn' || verdict === 'fail') expect(fix).toMatch(/./);
    }
    const failed = diagnosis.checks.some(({ verdict }) => verdict === 'fail');
    expect(diagnosis.healthy).toBe(!failed);
    expect(code).toBe(failed ? 4 : 0);
  });

  it('fails on a missing daemon and skips what depends on it', async () => {
    const { diagnosis, code } = await diagnose(`${agentd.socketPath}.none`);
    expect(code).toBe(4);
    expect(verdicts(diagnosis)).toMatchObject({
      agentd: 'fail',
      hostd: 'skip',
      versions: 'skip',
      images: 'skip',
    });
  });

  it('sees damaged images and unequal versions', async () => {
    const [image] = agentd.host.images;
    if (image === undefined) throw new Error('the model has an image');
    agentd.host = { ...agentd.host, images: [{ ...image, problem: 'rootfs.ext4 is missing' }] };
    agentd.overrides.getVersion = async () => {
      const { versionInfo } = await import('./model-data.js');
      const info = versionInfo();
      return { ...info, agentd: { ...info.agentd, version: '9.9.9' } };
    };
    const { diagnosis } = await diagnose(agentd.socketPath);
    expect(verdicts(diagnosis)).toMatchObject({ images: 'fail', versions: 'warn' });
    agentd.host = { ...agentd.host, images: [] };
    expect(verdicts((await diagnose(agentd.socketPath)).diagnosis)).toMatchObject({ images: 'warn' });
  });

  it('does not judge the network of the caller when hostd is in another one', async () => {
    agentd.host = { ...agentd.host, network_namespace: 'net:[1]' };
    const { diagnosis } = await diagnose(agentd.socketPath);
    expect(verdicts(diagnosis)).toMatchObject({
      forwarding: 'skip',
      uplink: 'skip',
      'other-firewalls': 'skip',
      'guest-routes': 'skip',
      'forwarding-kept': 'skip',
    });
    const why = await runMvm(['net', 'why', 'acme/web/i-00000001', '1.1.1.1'], { socket: agentd.socketPath });
    expect(why.code).toBe(4);
    expect(why.stderr).toContain('net.other_namespace');
  });

  it('prints a report for people', async () => {
    const { stdout, stderr } = await runMvm(['doctor'], { socket: agentd.socketPath });
    expect(stdout).toMatch(/^Host\n {2}ok {4}node +v\d+/);
    expect(stdout).toMatch(/^Daemons\n {2}ok {4}agentd /m);
    expect(stderr).toMatch(/\d+ ok, \d+ to look at, \d+ failed\n$/);
  });
});
