import { readFileSync, unlinkSync } from 'node:fs';
import { CodedError } from '@mvm/protocol';
import type { ExecutionHooks } from '../execute/hooks.js';
import { OPERATION_NAMES, type OperationName, RECORD_OPERATION_NAMES } from '../execute/step.js';
import { stepExecutors } from '../execute/steps/table.js';
import { errnoOf } from '../state/fs-error.js';
import { addressText } from '../state/layout.js';

/** The variable that sets one. */
export const FAILPOINT_VARIABLE = 'MVM_FAILPOINT';

/** What an operation does besides the steps of its plan, in the places where hostd does it. */
const AROUND_STEPS = ['journal', 'journal_end', 'audit'] as const;
const MOMENTS = ['before', 'after', 'before-undo', 'after-undo'] as const;
const ACTIONS = ['kill', 'stop'] as const;

export type FailpointMoment = (typeof MOMENTS)[number];

/** One point in one operation, and what happens there. */
export interface FailpointSpec {
  readonly operation: string;
  /** A kind of step, the index of one in its plan, or one of `AROUND_STEPS`. */
  readonly step: string | number;
  readonly moment: FailpointMoment;
  /** `kill`: SIGKILL. `stop`: SIGSTOP, so that a test can look, interfere, and send SIGCONT or SIGKILL. */
  readonly action: (typeof ACTIONS)[number];
}

/** A point, or the file that names one each time: a runner of many crashes sets it there without a restart. */
export type FailpointSetting = FailpointSpec | { readonly file: string };

/** Every name that a failpoint may be set with. */
export const FAILPOINT_NAMES = {
  operations: [...OPERATION_NAMES, ...RECORD_OPERATION_NAMES],
  steps: Object.keys(stepExecutors),
  around: AROUND_STEPS,
  moments: MOMENTS,
  actions: ACTIONS,
} as const;

function invalid(text: string, problem: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'config.invalid',
    message: `${FAILPOINT_VARIABLE}=${JSON.stringify(text.slice(0, 100))}: ${problem}`,
    hint: `It is for tests: <operation>/<step or its index>/<${MOMENTS.join('|')}>[/<${ACTIONS.join('|')}>]; unset it otherwise.`,
  });
}

/** The value of the variable: `@` and an absolute path, or a point. Throws as `parseFailpoint` does. */
export function parseFailpointSetting(text: string | undefined): FailpointSetting | null {
  if (text === undefined || !text.startsWith('@')) return parseFailpoint(text);
  if (!text.startsWith('@/')) throw invalid(text, 'the path of its file is not absolute');
  return { file: text.slice(1) };
}

/**
 * Parse `<operation>/<step>/<moment>[/<action>]`; null for an absent or empty variable. Throws `invalid_argument`, reason
 * `config.invalid`, for a name that does not exist: a crash test with a misspelt point would kill nothing and pass.
 */
export function parseFailpoint(text: string | undefined): FailpointSpec | null {
  if (text === undefined || text === '') return null;
  const [operation = '', step = '', moment = '', action = 'kill', ...rest] = text.split('/');
  const names: Record<keyof typeof FAILPOINT_NAMES, readonly string[]> = FAILPOINT_NAMES;
  const check = (what: string, value: string, known: readonly string[]): void => {
    if (!known.includes(value)) throw invalid(text, `no ${what} is called ${JSON.stringify(value)}`);
  };
  if (rest.length > 0) throw invalid(text, 'too many parts');
  check('operation', operation, names.operations);
  if (!/^\d{1,3}$/.test(step)) check('step', step, [...names.steps, ...names.around]);
  check('moment', moment, names.moments);
  check('action', action, names.actions);
  return {
    operation,
    step: /^\d/.test(step) ? Number(step) : step,
    moment: moment as FailpointMoment,
    action: action as FailpointSpec['action'],
  };
}

/** The point that is set now; when it is hit, it is forgotten first, so that nothing is triggered there twice. */
interface ArmedFailpoint {
  readonly spec: FailpointSpec;
  forget(): void;
}

function armedBySetting(setting: FailpointSetting): () => ArmedFailpoint | null {
  if (!('file' in setting)) {
    let spec: FailpointSpec | null = setting;
    const forget = (): void => {
      spec = null;
    };
    return () => (spec === null ? null : { spec, forget });
  }
  const { file } = setting;
  return () => {
    try {
      const spec = parseFailpoint(readFileSync(file, 'utf8').trim());
      return spec === null ? null : { spec, forget: () => unlinkSync(file) };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return null;
      throw error;
    }
  };
}

/**
 * A failpoint that is set. `trigger` ends or stops this process.
 *
 * INVARIANTS
 * - It is triggered once at most per point that is set, and nothing that comes after it in program order has happened by then.
 */
export function createFailpoint(
  setting: FailpointSetting,
  trigger: (action: FailpointSpec['action']) => void = endThisProcess,
): ExecutionHooks {
  const armed = armedBySetting(setting);
  const hit = (operation: string, names: readonly (string | number)[], moment: FailpointMoment): void => {
    const point = armed();
    if (point === null) return;
    const { spec } = point;
    if (operation !== spec.operation || moment !== spec.moment || !names.includes(spec.step)) return;
    point.forget();
    trigger(spec.action);
  };
  const around = async <T>(operation: string, name: string, work: () => Promise<T>): Promise<T> => {
    hit(operation, [name], 'before');
    const result = await work();
    hit(operation, [name], 'after');
    return result;
  };
  return {
    step: async ({ operation, kind, index, undo }, work) => {
      hit(operation, [kind, index], undo ? 'before-undo' : 'before');
      const result = await work();
      hit(operation, [kind, index], undo ? 'after-undo' : 'after');
      return result;
    },
    journal: (journal) => {
      /** The operation that each instance's journal holds. */
      const held = new Map<string, OperationName>();
      return {
        ...journal,
        begin: (opId, plan) => {
          held.set(addressText(plan.address), plan.operation);
          return around(plan.operation, 'journal', () => journal.begin(opId, plan));
        },
        read: async (address) => {
          const entry = await journal.read(address);
          if (entry !== null) held.set(addressText(address), entry.plan.operation);
          return entry;
        },
        end: (address) => {
          const operation = held.get(addressText(address)) ?? '';
          held.delete(addressText(address));
          return around(operation, 'journal_end', () => journal.end(address));
        },
      };
    },
    audit: (log) => ({
      ...log,
      append: (entry, onDurable) =>
        around(entry.operation === 'vm_exited' ? 'reap' : entry.operation, 'audit', () =>
          log.append(entry, onDurable),
        ),
    }),
  };
}

function endThisProcess(action: FailpointSpec['action']): void {
  process.kill(process.pid, action === 'kill' ? 'SIGKILL' : 'SIGSTOP');
}
