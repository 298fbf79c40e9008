import { closeSync, readSync, writeSync } from 'node:fs';
import { CodedError } from '@mvm/protocol';
import { errnoOf } from '../state/fs-error.js';
import { openTapDescriptor } from '../system/tap.js';

const MAX_FRAME_BYTES = 65_536;
/** Frames taken in at a time; a flooded bridge must not keep a probe forever. */
const MAX_FRAMES = 1000;

/** The user-space end of a TAP, as a VMM holds it: what is sent here, the host receives from a guest. */
export interface Tap {
  send(frame: Uint8Array): void;
  /** Frames that the host sent to the guest since the last call; never waits. */
  drain(): Buffer[];
  close(): void;
}

function cannotOpen(name: string, problem: string): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'net.probe_failed',
    message: `cannot open ${name} to probe through it: ${problem}`,
    hint: 'Does this host have /dev/net/tun? mvm doctor looks.',
  });
}

/** Opens a TAP that exists. Throws `internal`, reason `net.probe_failed`. */
export function openTap(name: string): Tap {
  let fd: number;
  try {
    fd = openTapDescriptor(name, { offload: false });
  } catch (error) {
    throw cannotOpen(name, error instanceof Error ? error.message : String(error));
  }
  const buffer = Buffer.alloc(MAX_FRAME_BYTES);
  return {
    send(frame) {
      writeSync(fd, frame);
    },
    drain() {
      const frames: Buffer[] = [];
      while (frames.length < MAX_FRAMES) {
        try {
          frames.push(Buffer.from(buffer.subarray(0, readSync(fd, buffer))));
        } catch (error) {
          if (errnoOf(error) === 'EAGAIN') return frames;
          throw error;
        }
      }
      return frames;
    },
    close: () => closeSync(fd),
  };
}
