import { describe, expect, it } from 'vitest';
import { parseStartTime } from './processes.js';

const stat = (name: string, state: string): string =>
  `4711 (${name}) ${state} 1 4711 4711 0 -1 4194560 100 0 0 0 5 6 0 0 20 0 3 0 987654 1000 200 0 0`;

describe('parseStartTime', () => {
  it('is field 22, whatever the program is called', () => {
    expect(parseStartTime(stat('qemu-system-x86', 'S'))).toBe('987654');
    expect(parseStartTime(stat('evil) Z 1 (', 'R'))).toBe('987654');
  });

  it('is null for what is dead', () => {
    expect(parseStartTime(stat('qemu', 'Z'))).toBeNull();
    expect(parseStartTime(stat('qemu', 'X'))).toBeNull();
    expect(parseStartTime('')).toBeNull();
  });
});
