import { type CodedError, toCodedError } from '@mvm/protocol';
import { commandError } from '../command/command-error.js';
import type { CommandResult, CommandRunner, PreparedCommand } from '../command/command-runner.js';
import { invertSteps } from '../invert.js';
import { renderIpBatch, renderIpLine } from '../render-ip.js';
import { renderNftScript } from '../render-nft.js';
import type { NetStep } from '../types.js';
import { writeSysctl } from './write-sysctl.js';

type Tool = 'ip' | 'nft' | 'sysctl';

/** What a group of steps came to: those that were made, and the error that stopped the rest. */
interface GroupOutcome {
  readonly made: readonly NetStep[];
  readonly error: CodedError | null;
}

function toolOf(step: NetStep): Tool {
  if (step.kind === 'sysctl.write') return 'sysctl';
  return renderIpLine(step) === null ? 'nft' : 'ip';
}

/**
 * A run of `ip` has 30 s: to delete a link takes it up to 0.1 s on a quiet host, more on a busy one. A request of one
 * tenant stays far below, so that only what concerns many tenants takes several runs.
 */
const MAX_IP_STEPS = 100;

/** Neighbouring steps of one tool together, in order; of `ip` at most 100. */
export function groupSteps(steps: readonly NetStep[]): { tool: Tool; steps: NetStep[] }[] {
  const groups: { tool: Tool; steps: NetStep[] }[] = [];
  for (const step of steps) {
    const tool = toolOf(step);
    const last = groups.at(-1);
    const full = tool === 'ip' && last?.steps.length === MAX_IP_STEPS;
    if (last?.tool === tool && !full) last.steps.push(step);
    else groups.push({ tool, steps: [step] });
  }
  return groups;
}

/** Runs a script by a program of its own, or by one that waits for it. */
type RunScript = (script: string) => Promise<CommandResult>;

async function runIp(steps: readonly NetStep[], run: RunScript): Promise<GroupOutcome> {
  // PRIVILEGE: links, addresses, TAPs and routing rules need CAP_NET_ADMIN.
  // SAFETY: every word of the script went through grammar.ts while it was rendered.
  const result = await run(renderIpBatch(steps));
  if (result.exitCode === 0) return { made: steps, error: null };
  // Without -force, ip stops at the line that it names; those before it are made.
  const failedLine = Number(/Command failed -:(\d+)/.exec(result.stderr)?.[1] ?? 1);
  return {
    made: steps.slice(0, failedLine - 1),
    error: commandError('ip', 'changing the interfaces', result),
  };
}

async function runNft(steps: readonly NetStep[], run: RunScript): Promise<GroupOutcome> {
  // PRIVILEGE: nftables needs CAP_NET_ADMIN.
  // SAFETY: the base tables are constant text; every element went through grammar.ts while it was rendered.
  const result = await run(renderNftScript(steps));
  if (result.exitCode === 0) return { made: steps, error: null };
  return { made: [], error: commandError('nft', 'changing the filter', result) };
}

function runSysctls(steps: readonly NetStep[]): GroupOutcome {
  const made: NetStep[] = [];
  for (const step of steps) {
    if (step.kind !== 'sysctl.write') continue;
    try {
      writeSysctl(step.key, step.value);
      made.push(step);
    } catch (error) {
      return { made, error: toCodedError(error) };
    }
  }
  return { made, error: null };
}

const ARGUMENTS = { ip: ['-batch', '-'], nft: ['-f', '-'] } as const;

/**
 * While a program works the next one is started, which gets its script when all before it have succeeded: until then it
 * waits for its stdin and does nothing. It saves the time in which a program starts.
 */
async function runGroups(steps: readonly NetStep[], runner: CommandRunner): Promise<GroupOutcome> {
  const made: NetStep[] = [];
  const groups = groupSteps(steps);
  let waiting: PreparedCommand | undefined;
  for (const [i, group] of groups.entries()) {
    const { tool } = group;
    const ready = waiting;
    const outcome = runGroup(group, (script) => {
      if (tool === 'sysctl') throw new Error('settings have no script');
      return ready === undefined ? runner.run(tool, ARGUMENTS[tool], script) : ready.run(script);
    });
    const next = groups[i + 1]?.tool;
    waiting = next === undefined || next === 'sysctl' ? undefined : runner.prepare?.(next, ARGUMENTS[next]);
    const { made: ofGroup, error } = await outcome;
    made.push(...ofGroup);
    if (error !== null) {
      waiting?.cancel();
      return { made, error };
    }
  }
  return { made, error: null };
}

async function runGroup(
  { tool, steps }: ReturnType<typeof groupSteps>[number],
  run: RunScript,
): Promise<GroupOutcome> {
  if (tool === 'sysctl') return runSysctls(steps);
  return tool === 'ip' ? await runIp(steps, run) : await runNft(steps, run);
}

/**
 * Makes the steps in order: neighbours of one tool in one go, `ip` as one batch (of 100 lines at most), `nft` as one
 * transaction. Each script is rendered, and so checked, before the first is run. On a failure, what was made is undone, and
 * the error thrown; when undoing fails too, the error's `details.undone` is false and the next reconcile puts it right.
 */
export async function runSteps(steps: readonly NetStep[], runner: CommandRunner): Promise<void> {
  for (const group of groupSteps(steps)) {
    renderIpBatch(group.steps);
    renderNftScript(group.steps);
  }
  const outcome = await runGroups(steps, runner);
  if (outcome.error === null) return;
  const undo = await runGroups(invertSteps(outcome.made), runner);
  const { error } = outcome;
  Object.assign(error, { details: { ...error.details, undone: undo.error === null } });
  throw error;
}
