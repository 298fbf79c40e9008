import { describe, expect, it } from 'vitest';
import { guestAgentRequestCodec, guestAgentResponseCodec } from './agent.js';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (json: string): Uint8Array => new TextEncoder().encode(json);

describe('guest agent messages', () => {
  it('are written as the peers write them', () => {
    expect(text(guestAgentRequestCodec.encode({ type: 'SleepPrep', drain_timeout_secs: 30 }))).toBe(
      '{"SleepPrep":{"drain_timeout_secs":30}}',
    );
    expect(text(guestAgentRequestCodec.encode({ type: 'Wake' }))).toBe('"Wake"');
    expect(text(guestAgentRequestCodec.encode({ type: 'Sync', token: '5a17' }))).toBe(
      '{"Sync":{"token":"5a17"}}',
    );
  });

  it('are read from an agent, nulls absent or not', () => {
    expect(guestAgentResponseCodec.decode(bytes('"Pong"'))).toEqual({ type: 'Pong' });
    expect(guestAgentResponseCodec.decode(bytes('{"SleepPrepAck":{"success":true,"detail":null}}'))).toEqual({
      type: 'SleepPrepAck',
      success: true,
      detail: null,
    });
    expect(
      guestAgentResponseCodec.decode(
        bytes('{"WorkerStatus":{"status":"idle","last_busy_at":null,"load":1}}'),
      ),
    ).toEqual({ type: 'WorkerStatus', status: 'idle', last_busy_at: null });
  });

  it('are refused with a typed error when they are anything else', () => {
    for (const bad of [
      '',
      'Pong',
      '"Pong" x',
      '{"SleepPrepAck":{}}',
      '{"WakeAck":{"success":1}}',
      '["Pong"]',
    ]) {
      expect(() => guestAgentResponseCodec.decode(bytes(bad))).toThrowError(
        expect.objectContaining({ code: 'invalid_argument' }),
      );
    }
  });
});
