import { closeSync, constants, openSync } from 'node:fs';
import { errnoOf } from '../state/fs-error.js';
import { ioctl, lastErrorName } from './libc.js';

// Source: linux/if_tun.h; struct ifreq is a name of 16 bytes and flags, 40 bytes in all.
const TUNSETIFF = 0x400454ca;
const TUNGETFEATURES = 0x800454cf;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFREQ_BYTES = 40;

/**
 * The user-space end of a TAP that exists, in this network namespace: a descriptor that the caller closes. `offload`:
 * frames carry a virtio header, where the kernel knows one. Throws an `Error` with the kernel's reason.
 * PRIVILEGE: a TAP that belongs to another uid opens for CAP_NET_ADMIN only. SAFETY: the name is made of two numbers.
 */
export function openTapDescriptor(name: string, { offload }: { readonly offload: boolean }): number {
  let fd: number;
  try {
    fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    throw new Error(`/dev/net/tun: ${errnoOf(error) ?? String(error)}`, { cause: error });
  }
  const features = Buffer.alloc(4);
  const hasHeader = offload && ioctl(fd, TUNGETFEATURES, features) === 0;
  const header = hasHeader && (features.readUInt32LE() & IFF_VNET_HDR) !== 0 ? IFF_VNET_HDR : 0;
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(name, 'ascii');
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | header, 16);
  if (ioctl(fd, TUNSETIFF, request) !== 0) {
    const errno = lastErrorName();
    closeSync(fd);
    throw new Error(errno);
  }
  return fd;
}
