/**
 * A guest's agent asked directly over its socket, as a script would that knows the frames: no daemon between, nothing is
 * checked, and credit is given for everything at once. The baseline of streams through hostd.
 */
import type { Socket } from 'node:net';
import { encodeFrame, FrameDecoder } from '@mvm/framing';
import {
  decodeStreamFrame,
  encodeStreamFrame,
  guestAgentRequestCodec,
  isStreamFrame,
} from '@mvm/protocol/guest';
import { encodeSpec } from '../src/guest-agent/stream-records.js';
import { connectSocket } from '../src/vmm/process/connect-socket.js';

const STREAM = 1;
const ALL_CREDIT = 0x7000_0000;

export interface DirectAgent {
  /** Runs a program without input to its end; bytes of its output. */
  exec(args: readonly string[]): Promise<number>;
  close(): void;
}

/** Connects when nobody else is connected any more, and waits for the agent. */
export async function connectDirectly(path: string): Promise<DirectAgent> {
  const socket: Socket = await connectSocket(path, AbortSignal.timeout(20_000));
  const decoder = new FrameDecoder();
  let onFrame: (body: Uint8Array) => void = () => {};
  let onClose: () => void = () => {};
  socket.on('close', () => onClose());
  socket.on('data', (chunk: Uint8Array) => {
    for (const body of decoder.push(chunk)) onFrame(body);
  });
  const send = (body: Uint8Array): void => {
    socket.write(encodeFrame(body));
  };
  await new Promise<void>((resolve, reject) => {
    onClose = () => reject(new Error('the agent’s socket was closed'));
    onFrame = (body) => {
      if (!isStreamFrame(body) && Buffer.from(body).includes('bench-token')) resolve();
    };
    send(guestAgentRequestCodec.encode({ type: 'Sync', token: 'bench-token' }));
  });
  return {
    exec: (args) =>
      new Promise((resolve, reject) => {
        let bytes = 0;
        onClose = () => reject(new Error('the agent’s socket was closed'));
        onFrame = (body) => {
          const frame = decodeStreamFrame(body);
          if (frame?.type === 'data') bytes += frame.data.length;
          if (frame?.type === 'end') resolve(bytes);
        };
        send(
          encodeStreamFrame({ type: 'open', payload: encodeSpec({ kind: 'exec', args: [...args] }) }, STREAM),
        );
        send(encodeStreamFrame({ type: 'credit', bytes: ALL_CREDIT }, STREAM));
      }),
    close: () => {
      onClose = () => {};
      socket.destroy();
    },
  };
}
