import { describe, expect, it } from 'vitest';
import { runChecks } from './check.js';
import { firecrackerChecks } from './firecracker-checks.js';
import type { HostProbe, ProgramFile } from './host-probe.js';

/** The beginning of a program of this machine with segments of these types; 3 is an interpreter. */
function elf(machine: number, segments: readonly number[] = [1, 1]): Buffer {
  const head = Buffer.alloc(64 + segments.length * 56);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]).copy(head);
  head.writeUInt16LE(machine, 18);
  head.writeBigUInt64LE(64n, 32);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(segments.length, 56);
  for (const [index, type] of segments.entries()) head.writeUInt32LE(type, 64 + index * 56);
  return head;
}

const good = (name: string): ProgramFile => ({
  path: `/usr/local/bin/${name}`,
  uid: 0,
  mode: 0o100755,
  head: elf(62),
});

interface Installed {
  readonly firecracker?: Partial<ProgramFile> | null;
  readonly jailer?: Partial<ProgramFile> | null;
  readonly versions?: Readonly<Record<string, string>>;
  readonly isOpen?: boolean;
}

async function findingOf({ firecracker, jailer, versions = {}, isOpen = false }: Installed) {
  const changes: Readonly<Record<string, Partial<ProgramFile> | null | undefined>> = { firecracker, jailer };
  const host = {
    arch: 'x64',
    isOpenToOthers: async () => isOpen,
    program: async (name: string) => (changes[name] === null ? null : { ...good(name), ...changes[name] }),
    run: async (name: string) => ({
      kind: 'ran',
      exitCode: 0,
      output: versions[name] ?? `${name === 'jailer' ? 'Jailer' : 'Firecracker'} v1.16.1\n\nnext line`,
    }),
  } as unknown as HostProbe;
  const [finding] = await runChecks(firecrackerChecks, host);
  return finding;
}

describe('the check of Firecracker', () => {
  it('accepts both programs of one known release', async () => {
    expect(await findingOf({})).toMatchObject({ verdict: 'ok', detail: 'firecracker and jailer 1.16.1' });
  });

  it('does not ask for it where nothing of it is installed', async () => {
    expect(await findingOf({ firecracker: null, jailer: null })).toMatchObject({
      verdict: 'skip',
      detail: expect.stringContaining('docs/firecracker.md'),
    });
  });

  it.each<[string, Installed, string, string]>([
    ['one program alone', { jailer: null }, 'fail', 'jailer is not installed'],
    ['a user’s program', { firecracker: { uid: 1000 } }, 'fail', 'belongs to user 1000'],
    ['one that a group writes', { jailer: { mode: 0o100775 } }, 'fail', 'written by others than root'],
    ['a directory of others', { isOpen: true }, 'fail', 'others than root can change /usr/local/bin'],
    ['one with an interpreter', { firecracker: { head: elf(62, [1, 3]) } }, 'fail', 'linked dynamically'],
    ['one of arm64', { jailer: { head: elf(183) } }, 'fail', 'for ELF machine 183'],
    ['a script', { firecracker: { head: Buffer.from('#!/bin/sh\n') } }, 'fail', 'not a 64-bit ELF program'],
    ['one that is something else', { versions: { jailer: 'hello' } }, 'fail', 'tells no version'],
    ['two releases', { versions: { jailer: 'Jailer v1.12.1' } }, 'fail', '1.16.1 and its jailer 1.12.1'],
    [
      'an unknown release',
      { versions: { firecracker: 'Firecracker v1.99.0', jailer: 'Jailer v1.99.0' } },
      'warn',
      'cannot sleep',
    ],
  ])('finds %s', async (_what, installed, verdict, detail) => {
    const finding = await findingOf(installed);
    expect(finding).toMatchObject({ verdict, detail: expect.stringContaining(detail) });
    expect(finding?.fix).toMatch(/docs\/firecracker\.md|chown root:root|install one of/);
  });
});
