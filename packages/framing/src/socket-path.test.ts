import { describe, expect, it } from 'vitest';
import { checkSocketPath } from './socket-path.js';

describe('checkSocketPath', () => {
  it('counts bytes, not characters', () => {
    checkSocketPath(`/${'a'.repeat(106)}`);
    expect(() => checkSocketPath(`/${'a'.repeat(107)}`)).toThrow(
      expect.objectContaining({
        reason: 'socket.path_too_long',
        details: expect.objectContaining({ bytes: 108 }),
      }),
    );
    expect(() => checkSocketPath(`/${'ü'.repeat(54)}`)).toThrow(
      expect.objectContaining({ reason: 'socket.path_too_long' }),
    );
  });

  it.each(['', '\0abstract', '/run/a\0b'])('refuses %j', (path) => {
    expect(() => checkSocketPath(path)).toThrow(expect.objectContaining({ reason: 'socket.path_invalid' }));
  });
});
