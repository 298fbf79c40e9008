import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseQmpMessage } from './qmp-message.js';

/** Throws nothing but what fails the connection. */
function survives(line: string): void {
  try {
    const message = parseQmpMessage(line);
    expect(['greeting', 'event', 'answer', 'failure']).toContain(message.kind);
  } catch (error) {
    expect(error).toMatchObject({ reason: 'vmm.bad_answer' });
  }
}

describe('finding 2: a line of QMP', () => {
  it('is a message, or fails its connection, whatever JSON it is', () => {
    fc.assert(fc.property(fc.json(), (line) => survives(line)));
  });
  it('and whatever stands where its fields belong', () => {
    const value = fc.jsonValue();
    const message = fc.record(
      {
        id: fc.oneof(value, fc.integer()),
        return: value,
        error: fc.oneof(value, fc.record({ class: value, desc: value }, { requiredKeys: [] })),
        event: value,
        QMP: fc.oneof(value, fc.record({ version: fc.record({ qemu: value }) })),
        __proto__: value,
      },
      { requiredKeys: [] },
    );
    fc.assert(fc.property(message, (it) => survives(JSON.stringify(it))));
  });
  it('and whatever bytes it is', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => survives(Buffer.from(bytes).toString('utf8'))));
  });
});

describe('a message of QMP', () => {
  it('is a greeting only with whole version numbers', () => {
    const greeting = (minor: unknown): string =>
      JSON.stringify({ QMP: { version: { qemu: { major: 7, minor, micro: 22 } }, capabilities: [] } });
    expect(parseQmpMessage(greeting(2))).toEqual({ kind: 'greeting', version: '7.2.22' });
    expect(() => parseQmpMessage(greeting('2'))).toThrow();
    expect(() => parseQmpMessage('null')).toThrow();
  });
  it('is a refusal even when its words are none', () => {
    const line = '{"id": 3, "error": {"desc": {"toString": 0, "valueOf": 0}}}';
    expect(parseQmpMessage(line)).toEqual({ kind: 'failure', id: 3, words: 'no reason given' });
  });
});
