import koffi from 'koffi';

// What Node.js cannot do itself: listen on a socket without accepting, and receive datagrams over a Unix socket.

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const libc = koffi.load('libc.so.6');
const openSocket = libc.func('int socket(int, int, int)');
const bindSocket = libc.func('int bind(int, void *, uint32_t)');
const listenOn = libc.func('int listen(int, int)');
const setsockopt = libc.func('int setsockopt(int, int, int, void *, uint32_t)');
const recv = libc.func('int64_t recv(int, _Out_ void *, size_t, int)');
const closeDescriptor = libc.func('int close(int)');

function bound(type: number, path: string): number {
  const fd = openSocket(AF_UNIX, type, 0) as number;
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  const address = Buffer.concat([family, Buffer.from(path), Buffer.alloc(1)]);
  if (bindSocket(fd, address, address.length) !== 0) throw new Error(`cannot bind ${path}`);
  return fd;
}

/** A socket that listens without a process that accepts, to be handed to a daemon. */
export function createListeningSocket(path: string): { readonly fd: number; close(): void } {
  const fd = bound(SOCK_STREAM, path);
  if (listenOn(fd, 16) !== 0) throw new Error(`cannot listen on ${path}`);
  return {
    fd,
    close: () => {
      closeDescriptor(fd);
    },
  };
}

/** A Unix datagram socket that can be waited on, as a service manager has one. */
export interface DatagramSocket {
  /** The next message; rejects after 10 s without one. */
  receive(): Promise<string>;
  close(): void;
}

export function createDatagramSocket(path: string): DatagramSocket {
  const fd = bound(SOCK_DGRAM, path);
  const timeout = Buffer.alloc(16);
  timeout.writeBigInt64LE(10n);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length) !== 0) throw new Error('no timeout');
  return {
    receive: () =>
      new Promise((resolve, reject) => {
        const buffer = Buffer.alloc(4096);
        recv.async(fd, buffer, buffer.length, 0, (error: unknown, bytes: number | bigint) => {
          if (error != null || Number(bytes) < 0) reject(new Error('no message came'));
          else resolve(buffer.subarray(0, Number(bytes)).toString());
        });
      }),
    close: () => {
      closeDescriptor(fd);
    },
  };
}
