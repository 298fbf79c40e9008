import { describe, expect, it } from 'vitest';
import { cpuFlags, judgeAcceleration } from './accelerator.js';

const flags = (...names: string[]): ReadonlySet<string> => new Set(names);

describe('judgeAcceleration', () => {
  it.each([
    [{ openError: null, flags: flags('fpu', 'vmx'), arch: 'x64' }, 'kvm', 'vmx'],
    [{ openError: null, flags: flags('svm'), arch: 'x64' }, 'kvm', 'svm'],
    [{ openError: null, flags: flags(), arch: 'arm64' }, 'kvm', '/dev/kvm opens'],
    [{ openError: null, flags: flags('fpu'), arch: 'x64' }, 'tcg', 'neither vmx nor svm'],
    [{ openError: 'ENOENT', flags: flags('vmx'), arch: 'x64' }, 'tcg', 'no /dev/kvm'],
    [{ openError: 'EACCES', flags: flags('vmx'), arch: 'x64' }, 'tcg', 'EACCES'],
    [{ openError: 'ENOENT', flags: flags(), arch: 'arm64' }, 'tcg', 'no /dev/kvm'],
  ] as const)('%j: %s', (found, accelerator, word) => {
    const judged = judgeAcceleration(found);
    expect(judged.accelerator).toBe(accelerator);
    expect(judged.reason).toContain(word);
  });
});

describe('cpuFlags', () => {
  it('reads whole words of the first processor', () => {
    const text = 'processor\t: 0\nflags\t\t: fpu vmx_like svm\n\nprocessor\t: 1\nflags\t\t: other\n';
    expect([...cpuFlags(text)]).toEqual(['fpu', 'vmx_like', 'svm']);
    expect([...cpuFlags('Features\t: fp asimd\n')]).toEqual(['fp', 'asimd']);
    expect([...cpuFlags('')]).toEqual([]);
  });
});
