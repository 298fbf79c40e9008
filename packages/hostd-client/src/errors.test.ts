import { FRAMING_REASONS, FramingError, type FramingReason } from '@mvm/framing';
import { CodedError } from '@mvm/protocol';
import { describe, expect, it } from 'vitest';
import { hostdError } from './errors.js';

const PATH = '/run/mvm/hostd.sock';

function mapped(reason: FramingReason): unknown {
  return hostdError(new FramingError({ reason, message: 'below', details: { errno: 'EX' } }), PATH);
}

describe('hostdError', () => {
  it.each<[FramingReason, string, string]>([
    ['connection.refused', 'unavailable', 'hostd.unreachable'],
    ['connection.timeout', 'unavailable', 'hostd.unreachable'],
    ['connection.denied', 'permission_denied', 'hostd.denied'],
    ['connection.closed', 'unavailable', 'hostd.disconnected'],
    ['connection.write_timeout', 'unavailable', 'hostd.disconnected'],
    ['frame.truncated', 'unavailable', 'hostd.disconnected'],
    ['frame.timeout', 'unavailable', 'hostd.disconnected'],
  ])('makes %s %s, %s, with a hint and the path', (from, code, reason) => {
    const error = mapped(from);
    expect(error).toBeInstanceOf(CodedError);
    expect(error).toMatchObject({ code, reason, details: { socket_path: PATH } });
    expect((error as CodedError).hint).toMatch(/systemctl status mvm-hostd|member of the group/);
    expect((error as CodedError).message).toContain('below');
  });

  it('passes every other error on, which is coded already', () => {
    const others: FramingReason[] = ['socket.path_too_long', 'request.canceled', 'frame.too_large'];
    for (const reason of others) {
      expect(FRAMING_REASONS).toHaveProperty([reason]);
      expect(mapped(reason)).toBeInstanceOf(FramingError);
    }
    const own = new CodedError({ code: 'not_found', reason: 'instance.not_found', message: 'x' });
    expect(hostdError(own, PATH)).toBe(own);
  });
});
