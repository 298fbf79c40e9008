/**
 * What anything must be compared with: a server on bare node:net that sends every byte back, and ends when its peer
 * has. Argument: the socket's path.
 */
import { createServer } from 'node:net';

createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', (chunk) => socket.write(chunk));
}).listen({ path: process.argv[2], backlog: 4096 });
process.on('SIGTERM', () => process.exit(0));
