import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Journal } from '../execute/journal.js';
import type { Plan } from '../execute/step.js';
import {
  createFailpoint,
  FAILPOINT_NAMES,
  type FailpointMoment,
  parseFailpoint,
  parseFailpointSetting,
} from './failpoint.js';

test('a point is an operation, a step or its index, a moment, and what happens there', () => {
  expect(parseFailpoint(undefined)).toBeNull();
  expect(parseFailpoint('')).toBeNull();
  expect(parseFailpoint('start/vm.launch/before')).toEqual({
    operation: 'start',
    step: 'vm.launch',
    moment: 'before',
    action: 'kill',
  });
  expect(parseFailpoint('create/0/after-undo/stop')).toEqual({
    operation: 'create',
    step: 0,
    moment: 'after-undo',
    action: 'stop',
  });
  for (const around of FAILPOINT_NAMES.around) {
    expect(parseFailpoint(`sleep/${around}/after`)).toMatchObject({ step: around });
  }
});

test.each([
  'start',
  'start/vm.launch',
  'start/vm.lunch/before',
  'begin/vm.launch/before',
  'start/vm.launch/during',
  'start/vm.launch/before/explode',
  'start/vm.launch/before/kill/twice',
  'start/-1/before',
  '///',
])('%s is refused', (text) => {
  expect(() => parseFailpoint(text)).toThrow(
    expect.objectContaining({
      code: 'invalid_argument',
      reason: 'config.invalid',
      hint: expect.stringContaining('<operation>'),
    }),
  );
});

const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-1' };
const plan: Plan = { operation: 'stop', address, onFailure: 'finish', steps: [] };

/** What had happened when each strike came. */
function run(
  spec: { operation: string; step: string | number; moment: FailpointMoment },
  work: (point: ReturnType<typeof createFailpoint>, happened: string[]) => Promise<unknown>,
): Promise<string[][]> {
  const happened: string[] = [];
  const strikes: string[][] = [];
  const point = createFailpoint({ ...spec, action: 'kill' }, () => strikes.push([...happened]));
  return work(point, happened).then(() => strikes);
}

async function steps(point: ReturnType<typeof createFailpoint>, happened: string[]): Promise<void> {
  for (const operation of ['start', 'stop']) {
    for (const [index, kind] of ['a', 'b'].entries()) {
      for (const undo of [false, true]) {
        await point.step({ operation, kind, index, undo }, async () => {
          happened.push(`${operation} ${undo ? 'undo ' : ''}${kind}`);
        });
      }
    }
  }
}

test('it strikes at its point, once, before what comes after', async () => {
  expect(await run({ operation: 'stop', step: 'a', moment: 'before' }, steps)).toEqual([
    ['start a', 'start undo a', 'start b', 'start undo b'],
  ]);
  expect(await run({ operation: 'start', step: 1, moment: 'after' }, steps)).toEqual([
    ['start a', 'start undo a', 'start b'],
  ]);
  expect(await run({ operation: 'start', step: 'b', moment: 'before-undo' }, steps)).toEqual([
    ['start a', 'start undo a', 'start b'],
  ]);
  expect(await run({ operation: 'start', step: 'c', moment: 'after' }, steps)).toEqual([]);
  const twice = { operation: 'start', step: 'a', moment: 'before' } as const;
  expect(
    await run(twice, async (point, happened) => {
      await steps(point, happened);
      await steps(point, happened);
    }),
  ).toHaveLength(1);
});

test('a step that fails has no after', async () => {
  const failing = run({ operation: 'start', step: 'a', moment: 'after' }, (point) =>
    point
      .step({ operation: 'start', kind: 'a', index: 0, undo: false }, () => Promise.reject(new Error('no')))
      .catch(() => {}),
  );
  expect(await failing).toEqual([]);
});

test('journal and audit have points too, and the end of a journal knows its operation', async () => {
  const happened: string[] = [];
  const journal: Journal = {
    begin: async () => void happened.push('begin'),
    progress: async () => {},
    end: async () => void happened.push('end'),
    read: async () => ({ opId: 'x', plan, completed: 0 }),
  };
  for (const prepare of [
    (wrapped: Journal) => wrapped.begin('x', plan),
    (wrapped: Journal) => wrapped.read(address),
  ]) {
    const strikes: string[] = [];
    const spec = { operation: 'stop', step: 'journal_end', moment: 'after', action: 'stop' } as const;
    const wrapped = createFailpoint(spec, (action) => strikes.push(action)).journal(journal);
    await prepare(wrapped);
    expect(strikes).toEqual([]);
    await wrapped.end(address);
    await wrapped.end(address);
    expect(strikes).toEqual(['stop']);
  }
  const strikes: string[] = [];
  const spec = { operation: 'reap', step: 'audit', moment: 'before', action: 'kill' } as const;
  const log = createFailpoint(spec, (action) => strikes.push(action)).audit({ append: async () => {} });
  const entry = { tenant_id: 'acme' } as Parameters<typeof log.append>[0];
  await log.append({ ...entry, operation: 'stop' });
  expect(strikes).toEqual([]);
  await log.append({ ...entry, operation: 'vm_exited' });
  expect(strikes).toEqual(['kill']);
});

test('a file may name the point: read each time, and removed before the strike', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'mvm-failpoint-'));
  try {
    const file = join(dir, 'point');
    const setting = parseFailpointSetting(`@${file}`);
    expect(setting).toEqual({ file });
    expect(() => parseFailpointSetting('@point')).toThrow(
      expect.objectContaining({ reason: 'config.invalid' }),
    );
    expect(parseFailpointSetting('stop/1/before')).toMatchObject({ operation: 'stop', step: 1 });
    const strikes: string[] = [];
    const point = createFailpoint({ file }, (action) => strikes.push(action));
    await steps(point, []);
    expect(strikes).toEqual([]);
    for (const text of ['start/0/after/stop\n', 'stop/1/before']) {
      await writeFile(file, text);
      await steps(point, []);
      await steps(point, []);
      expect(await readdir(dir)).toEqual([]);
    }
    expect(strikes).toEqual(['stop', 'kill']);
    await writeFile(file, 'nonsense');
    await expect(steps(point, [])).rejects.toThrow('no operation is called');
  } finally {
    await rm(dir, { recursive: true });
  }
});
