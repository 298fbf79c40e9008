import { connect } from 'node:net';

/**
 * One exchange of version 1 with as little as possible: connect, send, shut down the write half, read one frame.
 * @param {string} path
 * @param {Uint8Array} frame
 * @returns {Promise<void>}
 */
export function exchange(path, frame) {
  return new Promise((resolve, reject) => {
    let received = 0;
    let wanted = 4;
    const socket = connect({ path });
    socket.end(frame);
    socket.on('data', (chunk) => {
      if (received === 0) wanted = 4 + chunk.readUInt32BE(0);
      received += chunk.length;
    });
    socket.on('error', reject);
    socket.on('close', () =>
      received === wanted ? resolve() : reject(new Error(`${received} of ${wanted} bytes`)),
    );
  });
}
