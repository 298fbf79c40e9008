import type { DesiredStatus } from '@mvm/agentd-api';
import type { CodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { revisionOf } from './revision.js';

/** A desired state in force. */
export interface LoadedDesired {
  readonly desired: DesiredState;
  readonly revision: string;
  readonly loadedAt: string;
}

/** Where the desired state comes from: exactly one of a file and the API. */
export interface DesiredSource {
  /** The state in force: the last good one; null when there has been none. */
  readonly loaded: LoadedDesired | null;
  status(): DesiredStatus;
  /** Called with every new state in force, and when an error appears or goes away. */
  onChange(listener: () => void): void;
  /** Put a state in force, durably. `failed_precondition`, `desired.from_file`, where the source is a file. */
  put(desired: DesiredState): Promise<LoadedDesired>;
  close(): Promise<void>;
}

/** A checked state with its revision and the time at which it came. */
export function asLoaded(desired: DesiredState, nowMs: number): LoadedDesired {
  return { desired, revision: revisionOf(desired), loadedAt: new Date(nowMs).toISOString() };
}

/** What was wrong with the present content, when there is something. */
export type SourceError = CodedError | null;
