import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import {
  createFrameServer,
  type FrameConnection,
  type FrameServer,
  type FrameServerOptions,
} from '../../../src/index.js';

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Registers something to be undone after the test, last first. */
export function afterTest(cleanup: () => Promise<unknown>): void {
  cleanups.push(cleanup);
}

/** A directory of the test's own, removed after it. */
export async function scratchDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), `mvm-framing-${process.pid}-`));
  afterTest(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

export interface TestServer {
  readonly server: FrameServer;
  readonly path: string;
  /** The reasons of everything reported so far. */
  readonly reasons: string[];
  /** Resolves when an error of this reason has been reported. */
  reported(reason: string): Promise<Error>;
}

/** Answers each frame with the same frame, and a frame that cannot be read with `error: <reason>`. */
export async function echo(connection: FrameConnection): Promise<void> {
  try {
    for (;;) {
      const body = await connection.read();
      if (body === null) return;
      await connection.write(body);
    }
  } catch (error) {
    const { reason } = error as { reason: string };
    if (!reason.startsWith('frame.')) throw error;
    await connection.write(Buffer.from(`error: ${reason}`));
  }
}

/** A listening server, closed after the test; an echo by default. */
export async function startServer(
  options: Partial<FrameServerOptions> = {},
  path?: string,
): Promise<TestServer> {
  const socketPath = path ?? join(await scratchDir(), 'test.sock');
  const reasons: string[] = [];
  const waiting: { reason: string; resolve: (error: Error) => void }[] = [];
  const errors: Error[] = [];
  const server = createFrameServer({
    onConnection: echo,
    ...options,
    onError: (error) => {
      const { reason } = error as unknown as { reason: string };
      reasons.push(reason);
      errors.push(error);
      for (const waiter of waiting) if (waiter.reason === reason) waiter.resolve(error);
      options.onError?.(error);
    },
  });
  await server.listen({ path: socketPath });
  afterTest(() => server.close({ timeoutMs: 200 }));
  return {
    server,
    path: socketPath,
    reasons,
    reported: (reason) => {
      const index = reasons.indexOf(reason);
      const error = errors[index];
      if (error !== undefined) return Promise.resolve(error);
      return new Promise((resolve) => waiting.push({ reason, resolve }));
    },
  };
}
