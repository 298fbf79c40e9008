import { CodedError } from '@mvm/protocol';
import { expect, it } from 'vitest';
import { createColours } from '../format/colours.js';
import { renderError } from './render-error.js';

const plain = createColours({ isTty: false, env: {} });

it('says what happened, why, and what to do next', () => {
  const error = new CodedError({
    code: 'failed_precondition',
    reason: 'instance.invalid_transition',
    message: 'acme/web/i-1 cannot start while it is running',
    hint: 'stop it first',
  });
  expect(renderError(error, plain)).toBe(
    [
      'error: acme/web/i-1 cannot start while it is running',
      'reason: instance.invalid_transition (failed_precondition)',
      'hint: stop it first',
      '',
    ].join('\n'),
  );
});

it('names the object that it is about, once', () => {
  const error = new CodedError({ code: 'internal', reason: 'a.b', message: 'start failed: a/b/c is gone' });
  expect(renderError(error, plain, 'a/b/d')).toMatch(/^error: a\/b\/d: start failed: a\/b\/c is gone\n/);
  expect(renderError(error, plain, 'a/b/c')).toMatch(/^error: start failed: a\/b\/c is gone\n/);
});

it("ends with the console's last lines, made harmless", () => {
  const error = new CodedError({
    code: 'internal',
    reason: 'vmm.exited',
    message: 'line one\nline two',
    details: { console_tail: `${'x\n'.repeat(40)}\x1b[31mKernel panic\x1b[0m\r\n` },
  });
  const text = renderError(error, plain);
  expect(text).toContain('error: line one\n       line two\n');
  expect(text.endsWith('  | x\n  | Kernel panic\n')).toBe(true);
  expect(text.split('\n').filter((line) => line.startsWith('  |'))).toHaveLength(15);
});

it('leaves out what there is not', () => {
  const error = new CodedError({ code: 'internal', reason: 'internal.unexpected', message: 'oops' });
  expect(renderError(error, plain)).toBe('error: oops\nreason: internal.unexpected (internal)\n');
});
