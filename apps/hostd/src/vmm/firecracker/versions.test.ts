import { judgeElf } from '@mvm/node-host';
import { describe, expect, it } from 'vitest';
import { cpuOf, hostMismatch } from './host.js';
import { isKnownVersion, traitsOf, unknownVersion } from './versions.js';

describe('versions of Firecracker', () => {
  it.each([
    ['1.12.1', true, false],
    ['1.15.0', true, false],
    ['1.16.1', true, true],
    // What is not known is expected to have every fault.
    ['1.2.0', false, true],
    ['1.17.0', false, true],
    ['1.17.0-dev', false, true],
    ['toString', false, true],
  ])('%s', (version, isKnown, losesVsock) => {
    expect(isKnownVersion(version)).toBe(isKnown);
    expect(traitsOf(version).losesVsockAfterPause).toBe(losesVsock);
  });

  it('are named in the error about an unknown one', () => {
    expect(unknownVersion('1.99.0', 'the VM tn3i5 cannot be put to sleep')).toMatchObject({
      code: 'failed_precondition',
      reason: 'vmm.unknown_version',
      message: expect.stringMatching(/tn3i5.* 1\.99\.0.*1\.12.*1\.16/),
    });
  });
});

/** The beginning of an ELF64 program with segments of these types. */
function elf(machine: number, segments: readonly number[]): Buffer {
  const head = Buffer.alloc(64 + segments.length * 56);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]).copy(head);
  head.writeUInt16LE(machine, 18);
  head.writeBigUInt64LE(64n, 32);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(segments.length, 56);
  for (const [index, type] of segments.entries()) head.writeUInt32LE(type, 64 + index * 56);
  return head;
}

describe('a program for a jail', () => {
  it.each([
    ['static, of this architecture', elf(62, [1, 1, 6]), null],
    ['linked dynamically', elf(62, [6, 3, 1]), 'vmm.not_static'],
    ['of arm64', elf(183, [1]), 'vmm.wrong_architecture'],
    ['a script', Buffer.from(`#!/bin/sh\n${'x'.repeat(100)}`), 'vmm.wrong_architecture'],
    ['empty', Buffer.alloc(0), 'vmm.wrong_architecture'],
  ])('that is %s', (_what, head, reason) => {
    expect(judgeElf(head, 'x64')?.reason ?? null).toBe(reason);
  });
});

describe('the host of a snapshot', () => {
  const here = { cpu: 'AuthenticAMD/25/17/1', kernel: '6.1', firecracker: 'ab' };

  it('is told by its processor’s numbers, not by its name', () => {
    const text =
      'processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: EPYC\nstepping\t: 1\n\nprocessor\t: 1\n';
    expect(cpuOf(text)).toBe('AuthenticAMD/25/17/1');
  });

  it('takes what it has saved itself', () => expect(hostMismatch({ ...here }, here)).toBeNull());

  it.each([
    ['cpu', { ...here, cpu: 'GenuineIntel/6/85/7' }],
    ['kernel', { ...here, kernel: '5.10' }],
    ['firecracker', { ...here, firecracker: 'cd' }],
    ['cpu', undefined],
    ['cpu', 'damaged'],
  ])('refuses another %s', (differs, saved) => {
    expect(hostMismatch(saved, here)).toMatchObject({
      code: 'failed_precondition',
      reason: 'snapshot.other_host',
      details: { differs },
    });
  });
});
