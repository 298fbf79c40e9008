import { resolve } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { resolveInstance } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { usageError } from '../errors/usage-error.js';
import { stripControlCharacters } from '../format/control-characters.js';
import { receiveTree } from '../guest/tree/receive-tree.js';
import { sendTree } from '../guest/tree/send-tree.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm cp`. */
export const cp: CommandModule = {
  formats: [],
  configure(command) {
    command
      .argument('<source>', 'a path here, or <instance>:<absolute path>')
      .argument('<target>', 'the same of the other side');
    completeWith(command, 'file', 'file');
    addHelp(
      command,
      'Copies a file or a tree into a running instance, or out of it. Modes, times, links and holes of files are kept; in the\nguest also owners. Out of a guest, entries belong to you and set-user-id bits are dropped. A target that is a directory\ngets the tree below it. It needs no tar in the guest.',
      [
        ['mvm cp ./data acme/web/i-0a1b2c3d:/srv/', 'A directory into a guest: /srv/data'],
        ['mvm cp i-0a1b:/var/log/app.log .', 'A file out of it'],
      ],
    );
  },
  async run(context, invocation) {
    const [source, target] = [invocation.operand(0), invocation.operand(1)];
    const [from, to] = [guestPath(source), guestPath(target)];
    if (from === null && to !== null) await copyIn(context, source, to);
    else if (from !== null && to === null) await copyOut(context, from, target);
    else
      throw usageError(
        'one side is a path here, the other <instance>:<path>',
        'mvm cp ./data acme/web/i-1:/srv/',
      );
  },
};

interface GuestPath {
  readonly instance: string;
  readonly path: string;
}

/** `acme/web/i-1:/srv`; a path of this host has no `:/`, or begins with `/` or `.`. */
function guestPath(text: string): GuestPath | null {
  const [, instance, path] = /^([^./:][^:]*):(\/.*)$/s.exec(text) ?? [];
  return instance === undefined || path === undefined ? null : { instance, path };
}

async function copyIn(context: CliContext, source: string, { instance, path }: GuestPath): Promise<void> {
  const { openGuestSession } = await import('@mvm/agentd-api');
  const said: Buffer[] = [];
  const session = await openGuestSession({
    socketPath: context.socketPath,
    address: await resolveInstance(context, instance),
    open: { kind: 'receive_tree', path },
    handlers: { data: (_channel, bytes) => void said.push(Buffer.from(bytes)) },
  });
  try {
    const skipped = (name: string): void => context.say(`left out ${name}: neither file, directory nor link`);
    for await (const bytes of sendTree(resolve(source), skipped)) if (!(await session.write(bytes))) break;
    session.endInput();
    check(await session.ended, said);
  } catch (error) {
    session.leave();
    throw error;
  }
}

async function copyOut(context: CliContext, { instance, path }: GuestPath, target: string): Promise<void> {
  const { openGuestSession } = await import('@mvm/agentd-api');
  const said: Buffer[] = [];
  const bytes = new ByteQueue();
  const session = await openGuestSession({
    socketPath: context.socketPath,
    address: await resolveInstance(context, instance),
    open: { kind: 'send_tree', path },
    handlers: {
      data: (channel, chunk) =>
        channel === 'stderr' ? void said.push(Buffer.from(chunk)) : bytes.push(chunk),
    },
  });
  const ended = session.ended.then(
    (end) => {
      bytes.end(null);
      return end;
    },
    (error: unknown) => {
      bytes.end(error);
      throw error;
    },
  );
  ended.catch(() => {});
  let failure: unknown = null;
  await receiveTree(resolve(target), (length) => bytes.read(length)).catch((error: unknown) => {
    failure = error;
    if (!bytes.isOver) session.leave();
  });
  // Why the guest has ended says more than that its bytes have.
  const end = await ended.catch((error: unknown) => {
    throw failure ?? error;
  });
  check(end, said);
  if (failure !== null) throw failure;
}

function check(end: { readonly code: number } | { readonly signal: number }, said: readonly Buffer[]): void {
  const text = stripControlCharacters(Buffer.concat(said).toString())
    .replace(/^mvm: /, '')
    .trim();
  if ('code' in end && end.code === 0) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'cli.copy_failed',
    message: `the guest could not copy: ${text === '' ? 'it did not say why' : text.slice(0, 500)}`,
    hint: 'What was copied before stays; correct the path, and repeat the command.',
  });
}

/** Bytes that come in chunks, read in the sizes that are wanted; the sender waits while nothing is wanted. */
class ByteQueue {
  #chunks: Buffer[] = [];
  #length = 0;
  #taken: (() => void) | null = null;
  #came: (() => void) | null = null;
  #failure: unknown = null;
  isOver = false;

  push(chunk: Uint8Array): Promise<void> | void {
    this.#chunks.push(Buffer.from(chunk));
    this.#length += chunk.length;
    this.#came?.();
    if (this.#length > 262_144)
      return new Promise((done) => {
        this.#taken = done;
      });
  }

  end(failure: unknown): void {
    this.isOver = true;
    this.#failure = failure;
    this.#came?.();
  }

  async read(length: number): Promise<Buffer> {
    while (this.#length < length) {
      if (this.isOver) throw this.#failure ?? new Error('the guest sent less than it announced');
      this.#taken?.();
      this.#taken = null;
      await new Promise<void>((done) => {
        this.#came = done;
      });
    }
    const all = Buffer.concat(this.#chunks);
    this.#chunks = length < all.length ? [all.subarray(length)] : [];
    this.#length -= length;
    if (this.#length <= 262_144) {
      this.#taken?.();
      this.#taken = null;
    }
    return all.subarray(0, length);
  }
}
