import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { until } from '@mvm/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createOneInstance, type OneInstance } from '../fake-vmm/one-instance.js';

// A pause in memory that goes wrong in every way at once: the record cannot be written, and the VM cannot be let go on.
// What settles it later must leave the VM as the record says, and the guest told.

let one: OneInstance;

beforeEach(async () => {
  one = await createOneInstance();
}, 60_000);
afterEach(() => one.dispose());

const status = async (): Promise<string> => (await one.described()).status;
const told = (): number =>
  [...readFileSync(one.layout.consoleLog(one.address), 'utf8').matchAll(/mvm-guest awake/g)].length;
/** Any request is behind what is to be settled; this one is refused by a running and by a warm instance. */
const settled = (): Promise<unknown> =>
  expect(one.client.request({ type: 'StartInstance', ...one.address })).rejects.toMatchObject({
    reason: 'instance.invalid_transition',
  });

/** Warm, with a record that cannot be replaced and a VM that does not go on. */
async function failCompletely(): Promise<void> {
  one.faultOf = (call) => {
    if (call === 'pause') one.blockRecord();
    return call === 'resume' ? 'fail' : null;
  };
  await expect(one.client.request({ type: 'WarmInstance', ...one.address })).rejects.toMatchObject({
    reason: 'state.io_error',
  });
  one.faultOf = () => null;
  one.unblockRecord();
  expect(await status()).toBe('running');
  expect((await one.vm()).running).toBe(false);
  expect(existsSync(one.layout.journal(one.address))).toBe(true);
}

test.each(['the next request', 'the next hostd'])(
  'a warm that could neither be recorded nor undone is undone by %s, and the guest is told',
  async (by) => {
    await failCompletely();
    if (by === 'the next hostd') await one.restart();
    await settled();
    expect(await status()).toBe('running');
    expect((await one.vm()).running).toBe(true);
    expect(existsSync(one.layout.journal(one.address))).toBe(false);
    await until('told', () => told() === 1);
    await until('no notification pending', () => !existsSync(one.layout.resumePending(one.address)));
  },
);

test('a warm that is complete but for its journal stays warm', async () => {
  let journal = '';
  one.faultOf = (call) => {
    if (call === 'pause') journal = readFileSync(one.layout.journal(one.address), 'utf8');
    return null;
  };
  await one.client.request({ type: 'WarmInstance', ...one.address });
  writeFileSync(one.layout.journal(one.address), journal, { mode: 0o600 });
  await settled();
  expect(await status()).toBe('warm');
  expect((await one.vm()).running).toBe(false);
  expect(existsSync(one.layout.journal(one.address))).toBe(false);
});

test('a guest that was paused in memory is told when it goes on', async () => {
  await one.client.request({ type: 'WarmInstance', ...one.address });
  expect(told()).toBe(0);
  await one.client.request({ type: 'ResumeInstance', ...one.address });
  expect(told()).toBe(1);
});
