import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import koffi from 'koffi';

// Source: linux/if_tun.h.
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const MAX_FRAME_BYTES = 65_536;

const libc = koffi.load('libc.so.6');
const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');

/** The user-space end of a TAP, as a VMM holds it: what is sent here, the host receives from the guest. */
export interface TapDevice {
  readonly name: string;
  send(frame: Uint8Array): void;
  /** Frames that the host sent to the guest since the last call; never waits. */
  drain(): Buffer[];
  close(): void;
}

/**
 * Opens a TAP of this network namespace, and makes it when it does not exist. Forwarding between TAPs happens in the
 * kernel while `send` runs, so what a frame leads to is there when it returns.
 */
export function openTap(name: string): TapDevice {
  const fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  const request = Buffer.alloc(40);
  request.write(name, 'ascii');
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI, 16);
  if (ioctl(fd, TUNSETIFF, request) !== 0) {
    closeSync(fd);
    throw new Error(`TUNSETIFF ${name} failed`);
  }
  const buffer = Buffer.alloc(MAX_FRAME_BYTES);
  return {
    name,
    send(frame) {
      writeSync(fd, frame);
    },
    drain() {
      const frames: Buffer[] = [];
      for (;;) {
        try {
          const length = readSync(fd, buffer);
          frames.push(Buffer.from(buffer.subarray(0, length)));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return frames;
          throw error;
        }
      }
    },
    close() {
      closeSync(fd);
    },
  };
}
