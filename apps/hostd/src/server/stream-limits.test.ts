import { expect, it } from 'vitest';
import { createStreamLimits } from './stream-limits.js';

const tooFast = expect.objectContaining({ reason: 'guest_stream.too_fast' });
const tooMany = expect.objectContaining({ reason: 'guest_stream.too_many' });

it('lets a user open many at once, then some each second, and others are not hindered', () => {
  let now = 0;
  const limits = createStreamLimits(() => now);
  for (let at = 0; at < 100; at += 1) limits.admit(1)();
  expect(() => limits.admit(1)).toThrow(tooFast);
  limits.admit(2)();
  now = 1000;
  for (let at = 0; at < 50; at += 1) limits.admit(1)();
  expect(() => limits.admit(1)).toThrow(tooFast);
});

it('counts what a user has open; what has ended twice ends once', () => {
  let now = 0;
  const limits = createStreamLimits(() => now);
  const releases = Array.from({ length: 256 }, () => {
    now += 1000;
    return limits.admit(1);
  });
  now += 1000;
  expect(() => limits.admit(1)).toThrow(tooMany);
  releases[0]?.();
  releases[0]?.();
  limits.admit(1);
  now += 1000;
  expect(() => limits.admit(1)).toThrow(tooMany);
});
