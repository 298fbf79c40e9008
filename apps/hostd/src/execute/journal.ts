import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { z } from 'zod';
import { readFileIfThere, syncDirectory, writeFileAtomic } from '../state/atomic-file.js';
import { errnoOf, fromFileError } from '../state/fs-error.js';
import type { InstanceAddress, Layout } from '../state/layout.js';
import { OPERATION_NAMES, type Plan, type Step } from './step.js';

/** What `op.json` says: an operation that began and may not have ended. */
export interface JournalEntry {
  readonly opId: string;
  readonly plan: Plan;
  /** Steps that are known to be complete; more may be. */
  readonly completed: number;
}

export interface Journal {
  /** Make the plan durable; before its first step. */
  begin(opId: string, plan: Plan): Promise<void>;
  /**
   * Record how far it came, for people: recovery repeats or undoes every step anyway. A line is appended to what is durable
   * already; a loss of power may take the line, never the plan.
   */
  progress(opId: string, plan: Plan, completed: number): Promise<void>;
  /** Forget the operation; it is complete, or nothing of it is left. The directory may be gone already. */
  end(address: InstanceAddress): Promise<void>;
  /** The operation that was under way, or null. Throws `state.damaged_record`. */
  read(address: InstanceAddress): Promise<JournalEntry | null>;
}

const entrySchema = z.object({
  op_id: z.string(),
  operation: z.enum(OPERATION_NAMES),
  on_failure: z.enum(['undo', 'finish', 'commit']),
  // Only hostd writes this file and root alone can change it: the steps are taken as they were planned.
  steps: z.array(z.looseObject({ kind: z.string() })),
});

/**
 * The text of a journal taken apart: the plan's JSON, which ends with the only line that is a bare brace, and the last
 * whole line of progress after it. Pure.
 */
function splitJournal(text: string): { readonly plan: string; readonly completed: number } {
  const end = text.indexOf('\n}\n');
  if (end < 0) return { plan: text, completed: 0 };
  const lines = [...text.slice(end + 3).matchAll(/^\{"completed":(\d+)\}$/gm)];
  return { plan: text.slice(0, end + 2), completed: Number(lines.at(-1)?.[1] ?? 0) };
}

/** The journals of all instances: `op.json` beside `instance.json`. `isKnownKind` tells the step kinds of this build. */
export function createJournal(layout: Layout, isKnownKind: (kind: string) => boolean): Journal {
  return {
    begin: (opId, { operation, onFailure, steps, address }) => {
      const entry = { op_id: opId, operation, on_failure: onFailure, steps };
      return writeFileAtomic(layout.journal(address), `${JSON.stringify(entry, null, 2)}\n`);
    },
    progress: async (_opId, { address }, completed) => {
      const path = layout.journal(address);
      try {
        const file = await open(path, constants.O_WRONLY | constants.O_APPEND);
        try {
          await file.appendFile(`${JSON.stringify({ completed })}\n`);
        } finally {
          await file.close();
        }
      } catch (error) {
        throw fromFileError(error, `cannot write ${path}`);
      }
    },
    end: async (address) => {
      try {
        await unlink(layout.journal(address));
        await syncDirectory(layout.instanceDir(address));
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT')
          throw fromFileError(error, `cannot remove ${layout.journal(address)}`);
      }
    },
    read: async (address) => {
      const path = layout.journal(address);
      const text = await readFileIfThere(path);
      if (text === null) return null;
      try {
        const split = splitJournal(text);
        const entry = entrySchema.parse(JSON.parse(split.plan));
        const unknown = entry.steps.find((step) => !isKnownKind(step.kind));
        if (unknown !== undefined) throw new Error(`unknown step ${unknown.kind}`);
        return {
          opId: entry.op_id,
          completed: split.completed,
          plan: {
            operation: entry.operation,
            address,
            onFailure: entry.on_failure,
            steps: entry.steps as unknown as Step[],
          },
        };
      } catch (cause) {
        throw new CodedError({
          code: 'failed_precondition',
          reason: 'state.damaged_record',
          message: `${path} is damaged: ${cause instanceof Error ? cause.message : 'not readable'}`,
          hint: 'Read the file, finish or undo the operation manually, remove the file, restart hostd.',
          cause,
        });
      }
    },
  };
}
