import { constants } from 'node:os';
import type { GuestStreamSession } from '@mvm/agentd-api';
import { isCodedError, toCodedError } from '@mvm/protocol';
import type { StreamSpec } from '@mvm/protocol/guest';
import type { InstanceAddress } from '../address/address.js';
import type { CliContext, TextOutput } from '../context.js';
import { renderError } from '../errors/render-error.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { ControlCharacterFilter } from '../format/control-characters.js';
import { DetachKeys } from './detach-keys.js';

/** As docker's: the tool itself failed, not the command. */
const OWN_FAILURE = 125;
/** Signals that are the command's, not ours. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
/** So many interrupts without an end leave a command that does not heed them. */
const INTERRUPTS_TO_LEAVE = 3;
const FALLBACK_SIZE = { rows: 24, cols: 80 };

export interface GuestCommand {
  readonly address: InstanceAddress;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd?: string | undefined;
  readonly user?: string | undefined;
  readonly interactive: boolean;
  readonly tty: boolean;
  readonly detachKeys: Uint8Array;
}

/** Runs it to its end on this process's streams; its exit code, 128 and the signal when one ended it. */
export async function runInGuest(context: CliContext, command: GuestCommand): Promise<number> {
  try {
    return await new Attached(context, command).run();
  } catch (error) {
    if (isCodedError(error) && error.reason === 'guest_stream.left') return 0;
    context.stderr.write(renderError(toCodedError(error), context.errorColours));
    throw new ReportedFailure(OWN_FAILURE);
  }
}

class Attached {
  readonly #context: CliContext;
  readonly #command: GuestCommand;
  #interrupts = 0;

  constructor(context: CliContext, command: GuestCommand) {
    this.#context = context;
    this.#command = command;
  }

  async run(): Promise<number> {
    const { openGuestSession } = await import('@mvm/agentd-api');
    const { address, tty, interactive } = this.#command;
    const out = { stdout: this.#output(this.#context.stdout), stderr: this.#output(this.#context.stderr) };
    const session = await openGuestSession({
      socketPath: this.#context.socketPath,
      address,
      open: this.#spec(),
      handlers: { data: (channel, bytes) => out[channel].write(bytes) },
    });
    const undo = [this.#forwardSignals(session)];
    try {
      if (tty) undo.push(this.#takeTerminal(session));
      if (interactive) undo.push(this.#passInput(session));
      const end = await session.ended;
      return 'code' in end ? end.code : 128 + end.signal;
    } finally {
      for (const restore of undo.reverse()) restore();
      out.stdout.end();
      out.stderr.end();
    }
  }

  #spec(): StreamSpec {
    const { args, env, cwd, user, tty, interactive } = this.#command;
    const { TERM } = this.#context.env;
    return {
      kind: 'exec',
      args: [...args],
      // The command's own come last.
      env: [...(tty && TERM !== undefined && TERM !== '' ? [`TERM=${TERM}`] : []), ...env],
      stdin: interactive,
      ...(cwd === undefined ? {} : { cwd }),
      ...(user === undefined ? {} : { user }),
      ...(tty ? { tty: terminalSize() } : {}),
    };
  }

  /** Escape sequences reach a terminal only when one was asked for; files and pipes get every byte. */
  #output(target: TextOutput): { write(bytes: Uint8Array): void | Promise<void>; end(): void } {
    if (this.#command.tty || !target.isTty) {
      const write = (bytes: Uint8Array): void | Promise<void> => {
        target.write(bytes);
        return target.flushed();
      };
      return { write, end: () => {} };
    }
    const filter = new ControlCharacterFilter();
    const decoder = new TextDecoder();
    return {
      write: (bytes) => {
        target.write(filter.push(decoder.decode(bytes, { stream: true })));
        return target.flushed();
      },
      end: () => target.write(filter.push(decoder.decode()) + filter.end()),
    };
  }

  #forwardSignals(session: GuestStreamSession): () => void {
    return this.#context.takeSignals(FORWARDED, (name) => {
      if (name === 'SIGINT') this.#interrupts += 1;
      // A terminal that is gone cannot be written to again.
      if (name === 'SIGHUP' || this.#interrupts >= INTERRUPTS_TO_LEAVE) session.leave();
      else session.signal(constants.signals[name]);
    });
  }

  #takeTerminal(session: GuestStreamSession): () => void {
    const { stdin } = this.#context;
    const resize = (): void => session.resize(terminalSize());
    process.stdout.on('resize', resize);
    const restore = (): void => {
      if (stdin.isTTY) stdin.setRawMode(false);
    };
    if (this.#command.interactive) {
      // However the process ends, the terminal is as it was.
      process.once('exit', restore);
      stdin.setRawMode(true);
    }
    return () => {
      process.stdout.off('resize', resize);
      process.off('exit', restore);
      restore();
    };
  }

  #passInput(session: GuestStreamSession): () => void {
    const { stdin } = this.#context;
    const keys = new DetachKeys(this.#command.tty ? this.#command.detachKeys : new Uint8Array());
    const onData = (chunk: Uint8Array): void => {
      const { pass, isComplete } = keys.push(chunk);
      stdin.pause();
      void session.write(pass).then((isOpen) => {
        if (isComplete) session.leave({ detach: true });
        else if (isOpen) stdin.resume();
      });
    };
    const onEnd = (): void => session.endInput();
    stdin.on('data', onData).on('end', onEnd).on('error', onEnd);
    return () => {
      stdin.off('data', onData).off('end', onEnd).pause();
    };
  }
}

function terminalSize(): { rows: number; cols: number } {
  const { rows, columns } = process.stdout;
  return { rows: rows ?? FALLBACK_SIZE.rows, cols: columns ?? FALLBACK_SIZE.cols };
}
