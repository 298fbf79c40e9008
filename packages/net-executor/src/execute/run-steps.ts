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

/** Neighbouring steps of one tool together, in order. */
export function groupSteps(steps: readonly NetStep[]): { tool: Tool; steps: NetStep[] }[] {
  const groups: { tool: Tool; steps: NetStep[] }[] = [];
  for (const step of steps) {
    const tool = toolOf(step);
    const last = groups.at(-1);
    if (last?.tool === tool) last.steps.push(step);
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
 * The first program gets its script at once; the others are started while it works, and get theirs when all before them
 * have succeeded: until then they wait for their stdin and do nothing. It saves the time in which a program starts.
 */
async function runGroups(steps: readonly NetStep[], runner: CommandRunner): Promise<GroupOutcome> {
  const made: NetStep[] = [];
  const groups = groupSteps(steps);
  const prepared = new Map<(typeof groups)[number], PreparedCommand>();
  for (const [i, group] of groups.entries()) {
    const { tool } = group;
    const outcome = runGroup(group, (script) => {
      if (tool === 'sysctl') throw new Error('settings have no script');
      const waiting = prepared.get(group);
      return waiting === undefined ? runner.run(tool, ARGUMENTS[tool], script) : waiting.run(script);
    });
    if (i === 0) {
      for (const later of groups.slice(1)) {
        const command =
          later.tool === 'sysctl' ? undefined : runner.prepare?.(later.tool, ARGUMENTS[later.tool]);
        if (command !== undefined) prepared.set(later, command);
      }
    }
    const { made: ofGroup, error } = await outcome;
    made.push(...ofGroup);
    if (error !== null) {
      for (const later of groups.slice(i + 1)) prepared.get(later)?.cancel();
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
 * Makes the steps in order: neighbours of one tool in one go, `ip` as one batch, `nft` as one transaction. Each script is
 * rendered, and so checked, before the first is run. On a failure, what was made is undone, and the error thrown; when
 * undoing fails too, the error's `details.undone` is false and the next reconcile puts it right.
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
