import { expect, test } from 'vitest';
import { inheritedSocket } from './listen-fds.js';

test('one socket for this process is taken as descriptor 3', () => {
  expect(inheritedSocket({ LISTEN_FDS: '1', LISTEN_PID: '42' }, 42)).toEqual({ fd: 3 });
});

test('sockets of another process, or none, are none', () => {
  expect(inheritedSocket({}, 42)).toBeNull();
  expect(inheritedSocket({ LISTEN_FDS: '1', LISTEN_PID: '41' }, 42)).toBeNull();
  expect(inheritedSocket({ LISTEN_FDS: '1' }, 42)).toBeNull();
});

test('more than one is refused', () => {
  expect(() => inheritedSocket({ LISTEN_FDS: '2', LISTEN_PID: '42' }, 42)).toThrow(
    expect.objectContaining({ reason: 'config.listen_fds' }),
  );
});
