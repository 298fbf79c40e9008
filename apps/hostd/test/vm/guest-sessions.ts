import { attachGuestSession, type GuestStreamSession } from '@mvm/agentd-api';
import { openGuestStream } from '@mvm/hostd-client';
import type { StreamSpec } from '@mvm/protocol/guest';
import type { InstanceAddress } from '../../src/state/layout.js';

/** How a program in a guest ended, and what it wrote. */
export interface Outcome {
  readonly end: { readonly code: number } | { readonly signal: number } | { readonly reason: string };
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface OpenedSession extends GuestStreamSession {
  /** What was written so far. */
  written(): string;
  readonly outcome: Promise<Outcome>;
}

/** Opens a stream through a hostd's socket. Throws when hostd refuses it. */
export async function openSession(
  socketPath: string,
  address: InstanceAddress,
  open: StreamSpec,
  onStdout: (bytes: Uint8Array) => void | Promise<void> = () => {},
): Promise<OpenedSession> {
  const socket = await openGuestStream({
    socketPath,
    clientName: 'test',
    request: { type: 'OpenStream', ...address, open },
  });
  const written: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
  const session = attachGuestSession(socket, {
    data: (channel, bytes) => {
      written[channel].push(Buffer.from(bytes));
      if (channel === 'stdout') return onStdout(bytes);
    },
  });
  const outcome = session.ended
    .catch((error: { reason: string }) => ({ reason: error.reason }))
    .then((end) => ({ end, stdout: Buffer.concat(written.stdout), stderr: Buffer.concat(written.stderr) }));
  return {
    ended: session.ended,
    write: (bytes) => session.write(bytes),
    endInput: () => session.endInput(),
    resize: (size) => session.resize(size),
    signal: (number) => session.signal(number),
    leave: (options) => session.leave(options),
    written: () => Buffer.concat(written.stdout).toString(),
    outcome,
  };
}

/** Runs a program to its end. */
export async function execIn(
  socketPath: string,
  address: InstanceAddress,
  args: readonly string[],
  more: Partial<StreamSpec> & { readonly input?: Uint8Array } = {},
): Promise<Outcome> {
  const { input, ...spec } = more;
  const session = await openSession(socketPath, address, {
    kind: 'exec',
    args: [...args],
    ...(input === undefined ? {} : { stdin: true }),
    ...spec,
  });
  if (input !== undefined) {
    await session.write(input);
    session.endInput();
  }
  return session.outcome;
}
