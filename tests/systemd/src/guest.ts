/**
 * A running Debian guest under QEMU, and a way to run scripts in it.
 *
 * INVARIANTS
 * - The guest has no network; what it writes goes to a layer that ends with it.
 * - QEMU ends with `stop`, or when this process ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BaseImage } from './base-image.js';

const MEMORY_MIB = 3072;
/** Without SVM, so that hostd emulates its guests, and without AVX, which takes longer to emulate. */
const CPU = 'Nehalem';

/** What a script did. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Guest {
  /** Changes with each boot. */
  readonly bootId: string;
  /** Runs a bash script as root; its status is the caller's to judge. Throws after `timeoutMs`, default 120 000. */
  run(script: string, options?: { readonly timeoutMs?: number }): Promise<Outcome>;
  /** Runs a script that must succeed; its standard output without the last line's end. */
  ok(script: string, options?: { readonly timeoutMs?: number }): Promise<string>;
  /** Reboots by systemctl, and resolves when the next boot has come up. */
  reboot(): Promise<void>;
  /** What the guest wrote to its serial console so far. */
  console(): Promise<string>;
  stop(): Promise<void>;
}

/** Boots a guest, and resolves once it takes scripts. `product` is mounted on /opt/mvm. Throws after `timeoutMs`. */
export async function bootGuest(
  image: BaseImage,
  product: string,
  options: { readonly timeoutMs: number },
): Promise<Guest> {
  const directory = await mkdtemp(join(tmpdir(), 'mvm-systemd-'));
  const consolePath = join(directory, 'console.log');
  const socketPath = join(directory, 'control.sock');
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...[
        '-M',
        'q35,usb=off',
        '-accel',
        'tcg,thread=multi,tb-size=512',
        '-cpu',
        CPU,
        '-smp',
        '2',
        '-m',
        `${MEMORY_MIB}M`,
      ],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', `file:${consolePath}`],
      ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', kernelArguments()],
      ...['-drive', `file=${image.root},format=raw,if=virtio,snapshot=on,cache=unsafe`],
      ...['-drive', `file=${product},format=raw,if=virtio,readonly=on`],
      ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
      ...['-chardev', `socket,id=control,path=${socketPath},server=on,wait=off`],
      ...['-device', 'virtserialport,chardev=control,name=mvm.control'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  qemu.stderr?.pipe(createWriteStream(join(directory, 'qemu.log')));
  const end = (): void => void qemu.kill('SIGKILL');
  process.once('exit', end);
  const consoleText = (): Promise<string> => readFile(consolePath, 'utf8').catch(() => '');
  const stop = async (): Promise<void> => {
    process.removeListener('exit', end);
    await kill(qemu);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const control = createControl(await connect(socketPath, qemu));
    let bootId = await control.nextBoot(options.timeoutMs);
    const run: Guest['run'] = (script, { timeoutMs = 120_000 } = {}) => control.run(script, timeoutMs);
    return {
      get bootId() {
        return bootId;
      },
      run,
      ok: async (script, scriptOptions) => {
        const { status, stdout, stderr } = await run(script, scriptOptions);
        if (status !== 0) throw new Error(`status ${status} of: ${script}\n${stdout}${stderr}`);
        return stdout.replace(/\n$/, '');
      },
      reboot: async () => {
        const next = control.nextBoot(options.timeoutMs);
        await run('systemctl reboot');
        bootId = await next;
      },
      console: consoleText,
      stop,
    };
  } catch (error) {
    const tail = (await consoleText()).slice(-4000);
    await stop();
    throw new Error(`the guest did not come up; its console ends with:\n${tail}`, { cause: error });
  }
}

function kernelArguments(): string {
  return [
    ...['console=ttyS0', 'panic=-1', 'net.ifnames=0', 'random.trust_cpu=on', 'cryptomgr.notests', 'quiet'],
    ...['systemd.show_status=0', 'mitigations=off', 'norandmaps'],
  ].join(' ');
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

async function connect(path: string, qemu: ChildProcess): Promise<Socket> {
  for (let attempt = 0; ; attempt += 1) {
    if (qemu.exitCode !== null) throw new Error(`QEMU ended with status ${qemu.exitCode}`);
    const socket = createConnection(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (attempt >= 200) throw error;
      await sleep(50);
    }
  }
}

/** The protocol of guest/control.sh. */
function createControl(socket: Socket): {
  run(script: string, timeoutMs: number): Promise<Outcome>;
  nextBoot(timeoutMs: number): Promise<string>;
} {
  const waiting = new Map<string, (rest: string) => void>();
  let pending = '';
  let lastId = 0;
  socket.setEncoding('latin1');
  socket.on('error', () => {});
  socket.on('data', (text: string) => {
    pending += text;
    for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n')) {
      const line = pending.slice(0, end);
      pending = pending.slice(end + 1);
      const space = line.indexOf(' ');
      waiting.get(line.slice(0, space))?.(line.slice(space + 1));
    }
  });
  const answer = (key: string, timeoutMs: number, what: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(key);
        reject(new Error(`no answer within ${timeoutMs} ms: ${what}`));
      }, timeoutMs);
      waiting.set(key, (rest) => {
        clearTimeout(timer);
        waiting.delete(key);
        resolve(rest);
      });
    });
  return {
    nextBoot: (timeoutMs) => answer('boot', timeoutMs, 'boot'),
    run: async (script, timeoutMs) => {
      lastId += 1;
      const id = String(lastId);
      const outcome = answer(id, timeoutMs, script);
      // The guest ends it a little earlier than we give up, so that it takes the next script.
      const seconds = Math.max(1, Math.floor(timeoutMs / 1000) - 2);
      const bounded = `timeout ${seconds} bash -c "$(cat <<'MVM_END'\n${script}\nMVM_END\n)"`;
      socket.write(`${id} ${Buffer.from(bounded).toString('base64')}\n`);
      const [status, stdout = '', stderr = ''] = (await outcome).split(' ');
      const text = (field: string): string => Buffer.from(field.slice(2), 'base64').toString('utf8');
      return { status: Number(status), stdout: text(stdout), stderr: text(stderr) };
    },
  };
}
