// Run as another user: tries to take a TAP, as a VMM would, and says what came of it.
import { constants, openSync } from 'node:fs';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
const fd = openSync('/dev/net/tun', constants.O_RDWR);
const request = Buffer.alloc(40);
request.write(process.argv[2] ?? '', 'ascii');
request.writeUInt16LE(0x1002, 16);
process.stdout.write(ioctl(fd, 0x400454ca, request) === 0 ? 'taken' : `errno ${koffi.errno()}`);
