import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd;
beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = await startFakeHostd(host.socketPath);
});
afterEach(async () => {
  await host.dispose();
  await hostd.close();
});

const state = desiredState([desiredTenant('acme', 3, [desiredPool('workers', { running: 1 })])]);

describe('on whose behalf hostd is asked', () => {
  it('is the revision with the reason of the action, or the user who called the API', async () => {
    await agentd.start();
    const { revision } = await agentd.client.putDesired({ body: state });
    await statusWhen(agentd.client, ({ converged }) => converged);
    expect(hostd.changes.length).toBeGreaterThan(2);
    for (const origin of hostd.origins)
      expect(origin).toEqual({ uid: null, cause: expect.stringMatching(`^revision ${revision}: .`) });

    const [instance] = (await agentd.client.listInstances()).instances;
    const params = { tenant: 'acme', pool: 'workers', instance: instance?.instance_id ?? '' };
    await agentd.client.stopInstance({ params, query: { hold_seconds: 60 } });
    const at = hostd.changes.findIndex(({ type }) => type === 'StopInstance');
    expect(hostd.origins[at]).toEqual({ uid: process.getuid?.(), cause: 'api' });
  });
});

/** Sends a request as another user, with plain Node.js; prints the HTTP status and the reason. */
async function sendAs(uid: number, gid: number, method: string, path: string, upgrade = ''): Promise<string> {
  const script = `
    const [socketPath, method, path, upgrade] = process.argv.slice(1);
    const headers = upgrade ? { connection: 'upgrade', upgrade } : {};
    require('node:http').request({ socketPath, method, path, headers }, (answer) => {
      let text = ''; answer.on('data', (d) => (text += d));
      answer.on('end', () => console.log(answer.statusCode, JSON.parse(text).error?.reason ?? ''));
    }).on('upgrade', (_, socket) => { console.log(101); socket.destroy(); })
      .on('error', (error) => console.log(error.code)).end();`;
  const ids = ['--reuid', String(uid), '--regid', String(gid), '--clear-groups'];
  const args = [...ids, process.execPath, '-e', script, agentd.socketPath, method, path, upgrade];
  return (await promisify(execFile)('setpriv', args)).stdout.trim();
}

// Changing users needs root, as the rest of this tier does where it can: see UNPRIVILEGED.
describe.runIf(process.getuid?.() === 0)('roles', () => {
  const [OPERATORS, VIEWERS, STRANGER] = [60, 20, 64_321];

  it('let viewers look and operators do everything; others may do nothing', async () => {
    await agentd.start(['--viewers-group', 'dialout', '--operators-group', 'games']);
    expect(await sendAs(64_001, VIEWERS, 'GET', '/v1/instances')).toBe('200');
    expect(await sendAs(64_001, VIEWERS, 'POST', '/v1/reconcile')).toBe('403 peer.not_allowed');
    expect(await sendAs(64_002, OPERATORS, 'POST', '/v1/reconcile')).toBe('200');
    expect(await sendAs(STRANGER, STRANGER, 'GET', '/v1/instances')).toBe('403 peer.not_allowed');
    expect(await sendAs(STRANGER, STRANGER, 'GET', '/openapi.json')).toBe('403 peer.not_allowed');
    expect(await sendAs(0, 0, 'POST', '/v1/reconcile')).toBe('200');
  });

  it('let no viewer open a stream into a guest', async () => {
    await agentd.start(['--viewers-group', 'dialout', '--operators-group', 'games']);
    const path = '/v1/instances/acme/workers/i-00000001/stream';
    expect(await sendAs(64_001, VIEWERS, 'GET', path, 'mvm-stream')).toBe('403 peer.not_allowed');
    expect(await sendAs(STRANGER, STRANGER, 'GET', path, 'mvm-stream')).toBe('403 peer.not_allowed');
    // An operator is switched to the other protocol, or told that it is not spoken: not refused.
    expect(await sendAs(64_002, OPERATORS, 'GET', path, 'mvm-stream')).not.toContain('403');
  });

  it('are not there without a group of viewers: the socket is closed to others', async () => {
    await agentd.start();
    expect(await sendAs(64_001, VIEWERS, 'GET', '/v1/instances')).toBe('EACCES');
  });
});
