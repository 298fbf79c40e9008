import { createServer, type Server, type Socket } from 'node:net';
import { CodedError, isCodedError, toCodedError } from '@mvm/protocol';
import { Option } from 'commander';
import type { InstanceAddress } from '../address/address.js';
import { resolveInstance } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { usageError } from '../errors/usage-error.js';
import { addHelp, completeWith } from '../help.js';

/** One port of this host, and the port of the guest that it leads to. */
interface Forward {
  readonly hostPort: number;
  readonly guestPort: number;
}

/** `mvm port-forward`. */
export const portForward: CommandModule = {
  formats: [],
  configure(command) {
    command
      .argument('<instance>', 'address, <tenant>/<pool>/<instance>')
      .argument('<ports...>', '<port here>:<port in the guest>, or one number for both')
      .addOption(
        new Option('--address <ip>', 'where to listen on this host').default('127.0.0.1', '127.0.0.1'),
      );
    completeWith(command, 'instance', 'none');
    addHelp(
      command,
      'Listens until you interrupt it. Each connection goes over the guest\'s agent to 127.0.0.1 in the guest, so it needs no\nnetwork there and no "publish" in the pool. To reach a guest without this command: "publish" of a pool.',
      [
        ['mvm port-forward acme/web/i-0a1b2c3d 8080:80', 'http://127.0.0.1:8080 is port 80 of the guest'],
        ['mvm port-forward i-0a1b 5432', 'The same number on both sides'],
      ],
    );
  },
  async run(context, invocation) {
    const address = await resolveInstance(context, invocation.operand(0));
    const forwards = invocation.operands(1).map(parseForward);
    const ip = invocation.text('address') ?? '127.0.0.1';
    const servers: Server[] = [];
    try {
      for (const forward of forwards) {
        servers.push(await listen(ip, forward, (socket) => void serve(context, address, forward, socket)));
        context.say(`${ip}:${forward.hostPort} leads to port ${forward.guestPort} of ${address.instanceId}`);
      }
      await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()));
    } finally {
      for (const server of servers) server.close();
    }
  },
};

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw usageError(
    `${JSON.stringify(text)} is no port`,
    'use <port here>:<port in the guest>, as in 8080:80',
  );
}

function parseForward(text: string): Forward {
  const [host = '', guest = host, ...rest] = text.split(':');
  if (rest.length > 0)
    throw usageError(`${JSON.stringify(text)} is no pair of ports`, 'use <port here>:<port in the guest>');
  return { hostPort: parsePort(host), guestPort: parsePort(guest) };
}

function listen(ip: string, { hostPort }: Forward, accept: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true }, accept);
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new CodedError({
          code: error.code === 'EADDRINUSE' ? 'already_exists' : 'invalid_argument',
          reason: 'cli.cannot_listen',
          message: `cannot listen on ${ip}:${hostPort}: ${error.code ?? error.message}`,
          hint: 'choose another port on this side: mvm port-forward <instance> <other>:<guest port>',
          cause: error,
        }),
      ),
    );
    server.listen(hostPort, ip, () => resolve(server));
  });
}

/** One connection: bytes both ways, each direction ended by itself. */
async function serve(
  context: CliContext,
  address: InstanceAddress,
  { guestPort }: Forward,
  socket: Socket,
): Promise<void> {
  socket.on('error', () => {});
  try {
    const { openGuestSession } = await import('@mvm/agentd-api');
    const session = await openGuestSession({
      socketPath: context.socketPath,
      address,
      open: { kind: 'connect', port: guestPort },
      handlers: {
        data: (_channel, bytes) => {
          if (socket.destroyed || socket.write(bytes)) return undefined;
          return new Promise<void>((resolve) => {
            const go = (): void => {
              socket.off('drain', go).off('close', go);
              resolve();
            };
            socket.on('drain', go).on('close', go);
          });
        },
        outputEnded: () => socket.end(),
      },
    });
    socket.on('data', (chunk) => {
      socket.pause();
      void session.write(chunk).then(() => socket.resume());
    });
    socket.on('end', () => session.endInput());
    socket.on('close', () => session.leave());
    await session.ended;
    socket.end();
  } catch (error) {
    const left = isCodedError(error) && error.reason === 'guest_stream.left';
    if (!left) context.say(`port ${guestPort}: ${toCodedError(error).message}`);
    socket.destroy();
  }
}
