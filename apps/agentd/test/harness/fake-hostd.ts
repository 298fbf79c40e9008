import { chmod } from 'node:fs/promises';
import { createFrameServer, type FrameConnection, type FrameServer } from '@mvm/framing';
import {
  clientFrameCodec,
  decodeFirstFrame,
  errorToResponse,
  type RequestOrigin,
  type ServerFrame,
  serverFrameCodec,
  type V2Request,
  type V2Response,
} from '@mvm/protocol';
import { type V1Request, v1ResponseCodec } from '@mvm/protocol/v1';
import { ModelHost } from '../model/model-host.js';

export interface FakeHostd {
  readonly model: ModelHost;
  /** Every changing request that came, in order. */
  readonly changes: V2Request[];
  /** On whose behalf each of them was sent. */
  readonly origins: (RequestOrigin | undefined)[];
  /** Called before a request is answered; await something to make it slow. */
  gate: (request: V2Request) => Promise<void>;
  /** Stop listening and drop every connection, as SIGKILL would. */
  kill(): Promise<void>;
  /** Listen again on the same socket, with the same host. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

const READS: ReadonlySet<string> = new Set([
  'Ping',
  'HostInfo',
  'ListTenants',
  'ListInstances',
  'ListActivity',
  'DescribeInstance',
  'InstanceLogs',
  'PlanRequest',
  'VerifyNetwork',
  'PlanNetwork',
  'NetworkDrops',
  'AuditLog',
  'VerifyAudit',
  'WaitForChange',
]);

/**
 * Something that speaks as hostd does, over a model of a host. With `versions: [1]` it closes the connection on a
 * Hello, as a version 1 hostd does, and answers version 1 requests only.
 */
export async function startFakeHostd(
  path: string,
  options: { versions?: readonly number[] } = {},
): Promise<FakeHostd> {
  const model = new ModelHost(Date.now());
  const live = new Set<FrameConnection>();
  const onlyVersion1 = options.versions !== undefined && !options.versions.includes(2);
  let server: FrameServer | null = null;

  // Tells of VMs that end by themselves; what agentd asks for, it knows.
  let changes = 0;
  let waiting: (() => void)[] = [];
  model.onChange = () => {
    changes += 1;
    for (const wake of waiting.splice(0)) wake();
  };

  async function waitForChange(seen: string | null): Promise<V2Response> {
    if (seen === String(changes)) await new Promise<void>((resolve) => waiting.push(resolve));
    return { type: 'Changes', cursor: String(changes), changed: seen !== String(changes) };
  }

  async function answer(request: V2Request, origin?: RequestOrigin): Promise<V2Response> {
    try {
      if (!READS.has(request.type)) {
        fake.changes.push(request);
        fake.origins.push(origin);
      }
      await fake.gate(request);
      model.nowMs = Math.max(model.nowMs, Date.now());
      if (request.type === 'WaitForChange') return await waitForChange(request.seen ?? null);
      return model.handle(request);
    } catch (error) {
      return errorToResponse(error);
    }
  }

  async function serve(connection: FrameConnection): Promise<void> {
    live.add(connection);
    connection.signal.addEventListener('abort', () => live.delete(connection));
    const first = await connection.read();
    if (first === null) return;
    const opening = decodeFirstFrame(first);
    if (opening.type === 'v1') {
      await connection.write(
        v1ResponseCodec.encode(toVersion1(await answer(opening.request satisfies V1Request))),
      );
      return;
    }
    if (onlyVersion1) return;
    const welcome: ServerFrame = { type: 'Welcome', version: 2, server: 'fake-hostd/0', features: [] };
    await connection.write(serverFrameCodec.encode(welcome));
    for (;;) {
      const body = await connection.read();
      if (body === null) return;
      const frame = clientFrameCodec.decode(body);
      if (frame.type !== 'request') throw new Error(`a fake hostd cannot answer ${frame.type}`);
      void answer(frame.request, frame.origin)
        .then((response) =>
          connection.write(serverFrameCodec.encode({ type: 'response', id: frame.id, response })),
        )
        .catch(() => connection.destroy());
    }
  }

  async function listen(): Promise<void> {
    server = createFrameServer({ onConnection: serve });
    await server.listen({ path });
    // Agentd runs as another user in these tests.
    await chmod(path, 0o666);
  }

  async function kill(): Promise<void> {
    for (const connection of live) connection.destroy();
    waiting = [];
    await server?.close({ timeoutMs: 0 });
    server = null;
  }

  const fake: FakeHostd = {
    model,
    changes: [],
    origins: [],
    gate: async () => {},
    kill,
    restart: listen,
    close: kill,
  };
  await listen();
  return fake;
}

function toVersion1(response: V2Response) {
  if (response.type === 'Error') return { type: 'Error', message: response.message } as const;
  if (response.type === 'Pong') return { type: 'Pong' } as const;
  return { type: 'Ok' } as const;
}
