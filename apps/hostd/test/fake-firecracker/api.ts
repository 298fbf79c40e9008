import { createServer, type Server, type Socket } from 'node:net';

/** As Firecracker names them. */
type State = 'Not started' | 'Running' | 'Paused';

/** What becomes of a request in place of its right answer. */
export type Fault = 'never' | 'late' | 'closed' | 'cut' | 'no-json' | 'other-json';

/** A Firecracker's API without a VM: its answers are those that Firecracker 1.12.1 was seen to give. */
export interface FakeApi {
  state: State;
  /** The fault of a request, e.g. for `PUT /actions`; null: none. */
  faultOf: (request: string) => Fault | null;
  /** Every request, in order. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

const LATE_MS = 300;
const KNOWN_FILES = new Set(['kernel', 'disk', '/kernel', '/initrd']);
const BODY_FIELDS: Readonly<Record<string, readonly string[]>> = {
  '/boot-source': ['kernel_image_path', 'initrd_path', 'boot_args'],
};
const BEFORE_START = /^\/(boot-source|machine-config|drives|network-interfaces|vsock|entropy)(\/|$)/;

interface Answer {
  readonly status: 200 | 204 | 400;
  readonly body?: unknown;
}

const done: Answer = { status: 204 };
const refused = (fault_message: string): Answer => ({ status: 400, body: { fault_message } });
const tooLate = refused('The requested operation is not supported after starting the microVM.');
const tooEarly = refused('The requested operation is not supported before starting the microVM.');
const badJson = (why: string): Answer =>
  refused(`An error occurred when deserializing the json body of a request: ${why}.`);

/** Serves the API on a Unix socket. */
export async function startFakeApi(path: string): Promise<FakeApi> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  let hasKernel = false;
  const fake = {
    state: 'Not started' as State,
    faultOf: (_request: string): Fault | null => null,
    requests,
    close: async (): Promise<void> => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  function answer(method: string, target: string, body: Record<string, unknown>): Answer {
    const running = fake.state !== 'Not started';
    const of = `${method} ${target}`;
    if (of === 'GET /')
      return {
        status: 200,
        body: { id: 'fake', state: fake.state, vmm_version: '1.12.1', app_name: 'Firecracker' },
      };
    if (of === 'GET /version') return { status: 200, body: { firecracker_version: '1.12.1' } };
    if (of === 'GET /machine-config' || of === 'GET /vm/config') return { status: 200, body: {} };
    if (method === 'PUT' && BEFORE_START.test(target)) {
      const judged = judgeConfiguration(target, body);
      if (judged.status === 400) return judged;
      if (running) return tooLate;
      hasKernel ||= target === '/boot-source';
      return judged;
    }
    if (of === 'PUT /actions' && body.action_type === 'InstanceStart') {
      if (running) return tooLate;
      if (!hasKernel)
        return refused('Start microvm error: Cannot start microvm without kernel configuration.');
      fake.state = 'Running';
      return done;
    }
    if (of === 'PUT /actions') return running ? done : tooEarly;
    if (of === 'PATCH /vm') {
      const { state } = body;
      if (state !== 'Paused' && state !== 'Resumed')
        return badJson(`unknown variant \`${String(state)}\`, expected \`Paused\` or \`Resumed\``);
      if (!running) return tooEarly;
      fake.state = state === 'Paused' ? 'Paused' : 'Running';
      return done;
    }
    if (of === 'PUT /snapshot/create') {
      if (!running) return tooEarly;
      return fake.state === 'Paused'
        ? done
        : refused('Create snapshot error: Cannot save a running microVM.');
    }
    if (of === 'PUT /snapshot/load') return running ? tooLate : refused('Load snapshot error: not faked');
    return refused(`Invalid request method and/or path: ${method} ${target.slice(1)}.`);
  }

  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    let text = '';
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/^content-length: (\d+)$/im.exec(text.slice(0, end))?.[1] ?? '0');
      if (text.length < end + 4 + length) return;
      const [method = '', target = ''] = text.split(' ', 2);
      const body = length === 0 ? {} : (JSON.parse(text.slice(end + 4)) as Record<string, unknown>);
      requests.push(`${method} ${target}`);
      reply(socket, fake.faultOf(`${method} ${target}`), () => answer(method, target, body));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return fake;
}

function judgeConfiguration(target: string, body: Record<string, unknown>): Answer {
  const fields = BODY_FIELDS[target];
  const unknown = Object.keys(body).find((name) => fields !== undefined && !fields.includes(name));
  if (unknown !== undefined)
    return badJson(`unknown field \`${unknown}\`, expected one of ${fields?.join(', ')}`);
  for (const name of ['kernel_image_path', 'path_on_host']) {
    const file = body[name];
    if (typeof file === 'string' && !KNOWN_FILES.has(file) && !file.startsWith('/drive-'))
      return refused(`No such file or directory (os error 2) ${file}`);
  }
  if (target === '/machine-config') {
    if (Number(body.vcpu_count) > 32) return refused('Machine config error: The number of vCPUs must be …');
    if (Number(body.mem_size_mib) === 0) return refused('Machine config error: The memory size (MiB) is …');
  }
  if (target.startsWith('/drives/')) {
    const id = target.slice('/drives/'.length);
    if (!/^\w+$/.test(id))
      return refused('API Resource IDs can only contain alphanumeric characters and underscores.');
    if (body.drive_id !== id) return refused('The id from the path does not match the id from the body!');
  }
  return done;
}

function reply(socket: Socket, fault: Fault | null, answer: () => Answer): void {
  if (fault === 'never') return;
  if (fault === 'closed') {
    socket.destroy();
    return;
  }
  const { status, body } = answer();
  const text =
    fault === 'no-json' ? '<html>' : fault === 'other-json' ? '{"state":"Wandering"}' : JSON.stringify(body);
  const head = `HTTP/1.1 ${fault === null || fault === 'late' ? status : 200} \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n`;
  const bytes =
    text === undefined
      ? `${head}\r\n`
      : `${head}Content-Type: application/json\r\nContent-Length: ${fault === 'cut' ? 5000 : Buffer.byteLength(text)}\r\n\r\n${text}`;
  if (fault === 'late') setTimeout(() => socket.end(bytes), LATE_MS);
  else socket.end(bytes);
}
