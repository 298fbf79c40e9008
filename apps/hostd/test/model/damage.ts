import { open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { addressOf } from './assert-consistent.js';
import { type Command, command, type Run, where } from './command.js';
import type { ModelHost } from './host.js';
import { operationText } from './requests.js';
import {
  type At,
  apply,
  type Damage,
  instancesOf,
  type ModelInstance,
  type ModelOperation,
  put,
} from './state.js';

/** Damage to a snapshot, or to the data volume under it, that hostd does not see. */
export const SPOILINGS = [
  'manifest',
  'memory',
  'disk-written',
  'disk-written',
  'disk-grown',
  'disk-gone',
] as const;
type Spoiling = (typeof SPOILINGS)[number];

const damageOf = (what: Spoiling): Damage => (what === 'manifest' || what === 'memory' ? what : 'disk');

async function flipMiddle(path: string): Promise<void> {
  const bytes = await readFile(path);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

async function spoil(what: Spoiling, at: At, { layout }: ModelHost): Promise<void> {
  const directory = join(layout.snapshotsDir(addressOf(at)), 'delta');
  const disk = layout.dataDisk(addressOf(at));
  switch (what) {
    case 'manifest':
      return await truncate(join(directory, 'meta.json'), 40);
    case 'memory':
      return await flipMiddle(join(directory, 'memory'));
    case 'disk-gone':
      return await rm(disk);
    case 'disk-written': {
      // Where the fake VMM keeps its note.
      const file = await open(disk, 'r+');
      const { size } = await file.stat();
      await file.write('note of somebody else 1\n', size - 512);
      return await file.close();
    }
    case 'disk-grown': {
      // Its time of last change is put back, to the nanosecond.
      const { size, mtimeNs } = await stat(disk, { bigint: true });
      await truncate(disk, Number(size) + 4096);
      await execa('touch', [
        '-d',
        `@${mtimeNs / 1_000_000_000n}.${String(mtimeNs % 1_000_000_000n).padStart(9, '0')}`,
        disk,
      ]);
    }
  }
}

/**
 * A snapshot, or the disk under it, is changed behind hostd's back; with `wakeAtOnce` that is asked for next. The wake is
 * refused, and nothing is lost but the memory.
 */
export function damageSnapshot(known: number, what: Spoiling, wakeAtOnce: boolean): Command {
  return command(
    `spoil ${what} of ${known}`,
    (state) => {
      const asleep = instancesOf(state).filter(
        ({ instance }) =>
          instance.status === 'sleeping' &&
          instance.damage === null &&
          (damageOf(what) !== 'disk' || instance.diskMib > 0),
      );
      return asleep[known % Math.max(1, asleep.length)] ?? null;
    },
    (chosen, run) => runDamage(chosen, what, wakeAtOnce, run),
  );
}

async function runDamage(
  { at, instance }: { readonly at: At; readonly instance: ModelInstance },
  what: Spoiling,
  wakeAtOnce: boolean,
  { model, harness, say }: Run,
): Promise<void> {
  say(`spoil ${what} of ${where(at)}`);
  await spoil(what, at, harness.host);
  model.state = put(model.state, at, { ...instance, damage: damageOf(what) });
  if (!wakeAtOnce) return;
  const operation: ModelOperation = { op: 'wake', at, flag: false };
  const expected = apply(model.state, operation);
  say(`spoil ${what} of ${where(at)}, ${operationText(operation)} → ${expected.answer}`);
  expect(await harness.request(operation), operationText(operation)).toBe(expected.answer);
  model.state = expected.state;
}
