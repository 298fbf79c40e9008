import { describe, expect, it } from 'vitest';
import { createChangeFeed } from './change-feed.js';

const LONG_MS = 60_000;

describe('light 7: a feed of changes', () => {
  it('answers at once for a cursor that is none, or not its own', async () => {
    const feed = createChangeFeed(new AbortController().signal);
    const first = await feed.wait(null, LONG_MS);
    expect(first.changed).toBe(true);
    expect((await createChangeFeed(new AbortController().signal).wait(first.cursor, LONG_MS)).changed).toBe(
      true,
    );
  });

  it('tells a waiter of a note, and of one between two waits', async () => {
    const feed = createChangeFeed(new AbortController().signal);
    const { cursor } = await feed.wait(null, 0);
    const waiting = feed.wait(cursor, LONG_MS);
    feed.note();
    const told = await waiting;
    expect(told.changed).toBe(true);
    feed.note();
    expect((await feed.wait(told.cursor, LONG_MS)).changed).toBe(true);
  });

  it('ends with the time, and with the daemon', async () => {
    const closing = new AbortController();
    const feed = createChangeFeed(closing.signal);
    const { cursor } = await feed.wait(null, 0);
    expect(await feed.wait(cursor, 1)).toEqual({ cursor, changed: false });
    const waiting = feed.wait(cursor, LONG_MS);
    closing.abort();
    expect(await waiting).toEqual({ cursor, changed: false });
    expect(await feed.wait(cursor, LONG_MS)).toEqual({ cursor, changed: false });
  });

  it('is bounded', async () => {
    const closing = new AbortController();
    const feed = createChangeFeed(closing.signal);
    const { cursor } = await feed.wait(null, 0);
    const waiting = Array.from({ length: 64 }, () => feed.wait(cursor, LONG_MS));
    await expect(feed.wait(cursor, LONG_MS)).rejects.toMatchObject({ reason: 'changes.too_many' });
    closing.abort();
    await Promise.all(waiting);
  });
});
