// `serve <address>` sends every datagram back until it is killed; `ask <address> <count>` prints the median of its round
// trips in microseconds. Blocking system calls, so that what is timed is the kernel's way and two wake-ups, and not two
// event loops. Source: socket(2), bind(2), connect(2), send(2), recv(2), ip(7).
import koffi from 'koffi';

const PORT = 7000;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const ADDRESS_BYTES = 16;
const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, const void *address, uint size)');
const connect = libc.func('int connect(int fd, const void *address, uint size)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const void *value, uint size)');
const send = libc.func('long send(int fd, const void *bytes, size_t size, int flags)');
const recv = libc.func('long recv(int fd, void *bytes, size_t size, int flags)');
const sendto = libc.func(
  'long sendto(int fd, const void *bytes, size_t size, int flags, const void *to, uint toSize)',
);
const recvfrom = libc.func(
  'long recvfrom(int fd, void *bytes, size_t size, int flags, void *from, void *fromSize)',
);

function checked(call, result) {
  if (result < 0) throw new Error(`${call} failed: errno ${koffi.errno()}`);
  return Number(result);
}

const [mode, text = '', count] = process.argv.slice(2);
const address = Buffer.alloc(ADDRESS_BYTES);
address.writeUInt16LE(AF_INET, 0);
address.writeUInt16BE(PORT, 2);
address.set(text.split('.').map(Number), 4);
const fd = checked('socket', socket(AF_INET, SOCK_DGRAM, 0));
const answer = Buffer.alloc(2000);

if (mode === 'serve') {
  checked('bind', bind(fd, address, ADDRESS_BYTES));
  process.stdout.write('ready\n');
  const peer = Buffer.alloc(ADDRESS_BYTES);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(ADDRESS_BYTES);
  for (;;) {
    const bytes = checked('recvfrom', recvfrom(fd, answer, answer.length, 0, peer, size));
    checked('sendto', sendto(fd, answer, bytes, 0, peer, ADDRESS_BYTES));
  }
} else {
  const fiveSeconds = Buffer.alloc(16);
  fiveSeconds.writeBigInt64LE(5n);
  checked('setsockopt', setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, fiveSeconds, fiveSeconds.length));
  checked('connect', connect(fd, address, ADDRESS_BYTES));
  const datagram = Buffer.alloc(64, 'x');
  const times = Float64Array.from({ length: Number(count) }, () => {
    const start = performance.now();
    checked('send', send(fd, datagram, datagram.length, 0));
    checked('recv', recv(fd, answer, answer.length, 0));
    return performance.now() - start;
  }).sort();
  process.stdout.write(`${(times[Math.floor(times.length / 2)] ?? Number.NaN) * 1000}`);
}
