/**
 * Stands in for mvm-hostd where that is not at hand: the real framing and codecs, version 1 and 2, Ping only.
 * Argument: the socket's path.
 */
import { createFrameServer } from '@mvm/framing';
import { clientFrameCodec, decodeFirstFrame, serverFrameCodec } from '@mvm/protocol';
import { v1ResponseCodec } from '@mvm/protocol/v1';

const server = createFrameServer({
  onConnection: async (connection) => {
    const body = await connection.read();
    if (body === null) return;
    if (decodeFirstFrame(body).type === 'v1') {
      await connection.write(v1ResponseCodec.encode({ type: 'Pong' }));
      return;
    }
    await connection.write(
      serverFrameCodec.encode({ type: 'Welcome', version: 2, server: 'stand-in', features: [] }),
    );
    for (let frame = await connection.read(); frame !== null; frame = await connection.read()) {
      const { id } = clientFrameCodec.decode(frame);
      // As a server must: answering does not wait for the next request, nor the other way round.
      Promise.resolve()
        .then(() =>
          connection.write(serverFrameCodec.encode({ type: 'response', id, response: { type: 'Pong' } })),
        )
        .catch(() => connection.destroy());
    }
  },
});
await server.listen({ path: process.argv[2] });
process.on('SIGTERM', () => void server.close({ timeoutMs: 100 }).then(() => process.exit(0)));
