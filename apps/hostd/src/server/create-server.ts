import type { Socket } from 'node:net';
import { createFrameServer, type FrameServer } from '@mvm/framing';
import { createGroupLookup, type PeerCredentials, readPeerCredentials } from '@mvm/unix-peer';
import type { Logger } from 'pino';
import type { HostdConfig } from '../config/settings.js';
import { HOSTD_VERSION } from '../version.js';
import { createAccessPolicy } from './access-policy.js';
import { createCallerBudget } from './caller-budget.js';
import { type SessionOptions, serveSession } from './session.js';

/** The server that admits callers by their uid and gid, and answers them by `dispatch` or with streams; it does not listen yet. */
export function createServer(
  config: HostdConfig,
  logger: Logger,
  services: Pick<SessionOptions, 'dispatch' | 'streams'>,
): FrameServer {
  const policy = createAccessPolicy({
    allowUids: config.allowUid,
    groupName: config.group,
    group: createGroupLookup(config.group),
  });
  const identify = (socket: Socket): PeerCredentials => {
    const peer = readPeerCredentials(socket);
    policy.check(peer);
    return peer;
  };
  const options: SessionOptions = {
    ...services,
    identify,
    maxInFlight: config.maxInFlight,
    budget: createCallerBudget({
      maxConnections: config.maxConnectionsPerUser,
      maxInFlight: config.maxInFlightPerUser,
      maxAnswerBytes: config.maxAnswerMibPerUser * 1_048_576,
    }),
    server: `mvm-hostd ${HOSTD_VERSION}`,
    onProblem: (problem, peer) => logger.debug({ err: problem, peer }, 'a connection was ended early'),
  };
  return createFrameServer({
    limits: {
      maxConnections: config.maxConnections,
      frameTimeoutMs: config.frameTimeoutMs,
      firstByteTimeoutMs: config.frameTimeoutMs,
      idleTimeoutMs: config.idleTimeoutMs,
    },
    onConnection: (connection) => serveSession(connection, options),
    onError: (error) => logger.debug({ err: error }, 'connection problem'),
  });
}
