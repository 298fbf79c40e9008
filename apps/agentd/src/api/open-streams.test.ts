import { expect, it } from 'vitest';
import { OpenStreams } from './open-streams.js';

it('knows an instance for as long as one of its streams is open', () => {
  const streams = new OpenStreams();
  const [first, second] = [streams.opened('a/b/i-1'), streams.opened('a/b/i-1')];
  streams.opened('a/b/i-2')();
  expect([...streams.instances()]).toEqual(['a/b/i-1']);
  first();
  first();
  expect(streams.countOf('a/b/i-1')).toBe(1);
  second();
  expect(streams.instances().size).toBe(0);
});
