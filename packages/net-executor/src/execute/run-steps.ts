import { type CodedError, toCodedError } from '@mvm/protocol';
import { commandError } from '../command/command-error.js';
import type { CommandResult, CommandRunner, PreparedCommand, Program } from '../command/command-runner.js';
import { invertSteps } from '../invert.js';
import { renderBridgeBatch } from '../render-bridge.js';
import { conntrackCalls } from '../render-conntrack.js';
import { renderIpBatch, renderIpLine } from '../render-ip.js';
import { renderNftScript } from '../render-nft.js';
import type { NetStep } from '../types.js';
import { writeSysctl } from './write-sysctl.js';

type Tool = Program | 'sysctl';
/** Programs that read a script from stdin. */
type ScriptTool = Exclude<Program, 'conntrack'>;

function readsScript(tool: Tool | undefined): tool is ScriptTool {
  return tool !== undefined && tool !== 'sysctl' && tool !== 'conntrack';
}

/** What a group of steps came to: those that were made, and the error that stopped the rest. */
interface GroupOutcome {
  readonly made: readonly NetStep[];
  readonly error: CodedError | null;
}

function toolOf(step: NetStep): Tool {
  switch (step.kind) {
    case 'sysctl.write':
      return 'sysctl';
    case 'forwarding.add':
    case 'forwarding.delete':
      return 'bridge';
    case 'flows.forget':
      return 'conntrack';
  }
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

/** `ip` or `bridge`, which stop at the first line that fails. */
async function runBatch(
  program: 'ip' | 'bridge',
  steps: readonly NetStep[],
  run: RunScript,
): Promise<GroupOutcome> {
  // PRIVILEGE: links, addresses, TAPs, forwarding entries and routing rules need CAP_NET_ADMIN.
  // SAFETY: every word of the script went through grammar.ts while it was rendered.
  const result = await run(program === 'ip' ? renderIpBatch(steps) : renderBridgeBatch(steps));
  if (result.exitCode === 0) return { made: steps, error: null };
  // Without -force, the program stops at the line that it names; those before it are made.
  const failedLine = Number(/Command failed -:(\d+)/.exec(result.stderr)?.[1] ?? 1);
  return {
    made: steps.slice(0, failedLine - 1),
    error: commandError(program, 'changing the interfaces', result),
  };
}

async function runNft(steps: readonly NetStep[], run: RunScript): Promise<GroupOutcome> {
  // PRIVILEGE: nftables needs CAP_NET_ADMIN.
  // SAFETY: the base tables are constant text; every element went through grammar.ts while it was rendered.
  const result = await run(renderNftScript(steps));
  if (result.exitCode === 0) return { made: steps, error: null };
  return { made: [], error: commandError('nft', 'changing the filter', result) };
}

/** How many calls of `conntrack` run at a time. */
const MAX_CONNTRACK = 4;

/** How often a call is made that stops at an entry which the kernel has forgotten meanwhile. */
const MAX_CONNTRACK_RUNS = 10;

/** Nothing to end is no failure. Source: conntrack-tools 1.4.7; its page says only that errors give 1. */
function hasEnded({ exitCode, stderr }: CommandResult): boolean {
  return exitCode === 0 || (exitCode === 1 && / 0 flow entries have been deleted/.test(stderr));
}

/** `-D` lists entries and deletes each; it stops at one that has ended by itself in between. Source: conntrack-tools 1.4.7. */
function stoppedAtEnded({ exitCode, stderr }: CommandResult): boolean {
  return exitCode === 1 && /such conntrack doesn't exist/.test(stderr);
}

/** Null when the connections have ended, also when some still ended by themselves in the last run; else how it failed. */
async function endFlows(args: readonly string[], runner: CommandRunner): Promise<CommandResult | null> {
  for (let runs = 0; runs < MAX_CONNTRACK_RUNS; runs += 1) {
    // PRIVILEGE: connections of others are deleted with CAP_NET_ADMIN.
    // SAFETY: the address went through grammar.ts while the arguments were rendered.
    const result = await runner.run('conntrack', args, '');
    if (hasEnded(result)) return null;
    if (!stoppedAtEnded(result)) return result;
  }
  return null;
}

/** From so many addresses on, one listing says which of them have connections at all. */
const LISTED_FROM = 8;

/** The steps among these whose address has connections. */
async function withConnections(
  steps: readonly NetStep[],
  runner: CommandRunner,
): Promise<readonly NetStep[]> {
  if (steps.length < LISTED_FROM) return steps;
  const { exitCode, stdout } = await runner.run('conntrack', ['-L', '-f', 'ipv4'], '');
  if (exitCode !== 0) return steps;
  const present = new Set([...stdout.matchAll(/ src=(\S+)/g)].map(([, address]) => address));
  return steps.filter((step) => step.kind === 'flows.forget' && present.has(step.address));
}

/** Each call goes through the kernel's whole table, in some 0.1 s when that is full. */
async function runConntrack(steps: readonly NetStep[], runner: CommandRunner): Promise<GroupOutcome> {
  const calls = (await withConnections(steps, runner)).flatMap(conntrackCalls);
  const failures: CommandResult[] = [];
  async function work(): Promise<void> {
    for (let args = calls.pop(); args !== undefined && failures.length === 0; args = calls.pop()) {
      const failure = await endFlows(args, runner);
      if (failure !== null) failures.push(failure);
    }
  }
  await Promise.all(Array.from({ length: MAX_CONNTRACK }, work));
  const [failed] = failures;
  if (failed === undefined) return { made: steps, error: null };
  return { made: [], error: commandError('conntrack', 'ending tracked connections', failed) };
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

/** Arguments with which a program reads its script from stdin. */
export const SCRIPT_ARGUMENTS = {
  ip: ['-batch', '-'],
  bridge: ['-batch', '-'],
  nft: ['-f', '-'],
} as const satisfies Record<ScriptTool, readonly string[]>;

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
      if (!readsScript(tool)) throw new Error(`${tool} reads no script`);
      return ready === undefined ? runner.run(tool, SCRIPT_ARGUMENTS[tool], script) : ready.run(script);
    });
    const next = groups[i + 1]?.tool;
    waiting = readsScript(next) ? runner.prepare?.(next, SCRIPT_ARGUMENTS[next]) : undefined;
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
  switch (tool) {
    case 'sysctl':
      return runSysctls(steps);
    case 'nft':
      return await runNft(steps, run);
    case 'ip':
    case 'bridge':
      return await runBatch(tool, steps, run);
    case 'conntrack':
      throw new Error('connections end beside the other steps');
  }
}

/** As of a group, and why connections did not end. */
interface AllOutcome extends GroupOutcome {
  readonly flowsError: CodedError | null;
}

/**
 * Connections end after the last TAP is gone, so that no packet on its way brings one back; those of an address that gets a
 * TAP end while the rest is made, for no VMM has it before all of it is done.
 */
async function runAll(steps: readonly NetStep[], runner: CommandRunner): Promise<AllOutcome> {
  const flows = steps.filter(({ kind }) => kind === 'flows.forget');
  if (flows.length === 0) return { ...(await runGroups(steps, runner)), flowsError: null };
  // The first program has its script before the time is spent that it takes to start another.
  const rest = runGroups(
    steps.filter(({ kind }) => kind !== 'flows.forget'),
    runner,
  );
  if (steps.some(({ kind }) => kind === 'tap.delete')) await rest;
  const [outcome, ended] = await Promise.all([rest, runConntrack(flows, runner)]);
  return { ...outcome, flowsError: ended.error };
}

/**
 * Makes the steps in order: neighbours of one tool in one go, `ip` as one batch (of 100 lines at most), `nft` as one
 * transaction. Each script is rendered, and so checked, before the first is run. On a failure, what was made is undone, and
 * the error thrown; when undoing fails too, the error's `details.undone` is false and the next reconcile puts it right.
 *
 * Connections that could not be ended are such a failure too, unless `onFlowsLeft` hears of it: then all else is made.
 * Resolves to the steps that were made.
 */
export async function runSteps(
  steps: readonly NetStep[],
  runner: CommandRunner,
  onFlowsLeft?: (error: CodedError) => void,
): Promise<readonly NetStep[]> {
  for (const group of groupSteps(steps)) {
    renderIpBatch(group.steps);
    renderBridgeBatch(group.steps);
    for (const step of group.steps) conntrackCalls(step);
    renderNftScript(group.steps);
  }
  const outcome = await runAll(steps, runner);
  const { flowsError } = outcome;
  const error = outcome.error ?? (onFlowsLeft === undefined ? flowsError : null);
  if (error === null) {
    if (flowsError === null) return steps;
    onFlowsLeft?.(flowsError);
    return steps.filter(({ kind }) => kind !== 'flows.forget');
  }
  const undo = await runGroups(invertSteps(outcome.made), runner);
  Object.assign(error, { details: { ...error.details, undone: undo.error === null } });
  throw error;
}
