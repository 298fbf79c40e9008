import type { AgentdClient } from '@mvm/agentd-api';
import type { Colours } from './format/colours.js';
import type { Progress } from './progress/progress.js';

/** A stream that the tool prints to. */
export interface TextOutput {
  readonly isTty: boolean;
  /** Columns of the terminal, or undefined. */
  readonly columns: number | undefined;
  write(text: string | Uint8Array): void;
  /** Resolves when what was written has been taken; undefined when there is nothing to wait for. */
  flushed(): Promise<void> | undefined;
}

/** What a command may touch; built once in the composition root, so that commands hold no globals. */
export interface CliContext {
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C and by SIGTERM. */
  readonly signal: AbortSignal;
  /** Colours for stdout; the identity when it is no terminal or NO_COLOR is set. */
  readonly colours: Colours;
  /** The same for stderr. */
  readonly errorColours: Colours;
  /** Wall clock, milliseconds since the epoch. */
  nowMs(): number;
  /** Monotonic clock, milliseconds. */
  monotonicMs(): number;
  /** Waits; rejects with the signal's reason when it is aborted. */
  sleep(ms: number): Promise<void>;
  /** All of stdin as bytes, at most `maxBytes`; `tooLarge` when there is more. */
  readStdin(maxBytes: number): Promise<Uint8Array | 'tooLarge'>;
  /** The stream that a guest's program may read; nothing reads it before. */
  readonly stdin: NodeJS.ReadStream;
  /** Calls back in place of aborting `signal`, until the returned function is called. */
  takeSignals(names: readonly NodeJS.Signals[], callback: (name: NodeJS.Signals) => void): () => void;
  /** Asks on the terminal; undefined when stdin or stderr is none. */
  ask(question: string): Promise<string | undefined>;
  /** A line for people, on stderr, unless `--quiet`. */
  say(message: string): void;
  /** Progress of something that takes its time, on stderr. */
  progress(text: string): Promise<Progress>;
  /** Socket of agentd's API: `--socket`, else MVM_SOCKET, else the default. */
  readonly socketPath: string;
  /** The client of agentd's API; the same one on each call, closed when the command ends. */
  agentd(): Promise<AgentdClient>;
}
