import type { Decision, PoolStatus, Problem, Status } from '@mvm/agentd-api';
import { ERROR_CODES } from '@mvm/protocol';
import { compareAddresses, formatAddress } from '../address/address.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { CONVERGING_EXIT_CODE, HELD_EXIT_CODE } from '../errors/exit-code.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { formatAgeOf, formatAgo } from '../format/age.js';
import { onOneLine } from '../format/control-characters.js';
import { formatDuration } from '../format/duration.js';
import { printObject } from '../format/print.js';
import { type Column, renderFields, renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import { describeHeld } from '../wait/wait-for-convergence.js';
import { addWatchOption, showOrWatch } from '../watch/watch-option.js';

/** As many past failures as the text lists. */
const MAX_FAILURES = 5;

/** `mvm status`. */
export const status: CommandModule = {
  formats: ['table', 'wide', 'json', 'yaml'],
  configure(command) {
    addWatchOption(command);
    completeWith(command);
    addHelp(
      command,
      'Shows what agentd wants, what it found in its last pass (at least every 10 seconds, and after each action), what it\nwill do next, and what prevents it. For the present moment: mvm instance list.\nExit code 0: the host is as desired. 9: as desired, except for instances that are held by an operator. 10: it converges.\n4: agentd is stuck. 6: hostd does not answer agentd.',
      [
        ['mvm status', 'Is the host as desired?'],
        ['mvm status --watch', 'Follow it'],
        ['mvm status -o wide', 'With the last actions'],
        ['mvm status -o json | jq .converged', 'For scripts; "mvm apply --wait" waits for true'],
      ],
    );
  },
  async run(context, invocation) {
    const agentd = await context.agentd();
    let exitCode = 0;
    await showOrWatch(context, invocation, {
      kind: 'Status',
      read: async () => {
        const state = await agentd.getStatus({}, { signal: context.signal });
        exitCode = exitCodeFor(state);
        return state;
      },
      document: (state) => state,
      print: (to, state) =>
        printObject(to, invocation, {
          kind: 'Status',
          value: state,
          name: state.node_id ?? '',
          text: () => describe(to, state, invocation.format === 'wide'),
        }),
    });
    if (exitCode !== 0) throw new ReportedFailure(exitCode);
  },
};

/** What the status means to a script. */
function exitCodeFor({ hostd, desired, converged, settled, held }: Status): number {
  if (hostd.state === 'protocol_mismatch') return ERROR_CODES.protocol_mismatch.exitCode;
  if (hostd.state !== 'connected') return ERROR_CODES.unavailable.exitCode;
  if (desired.revision === null) return 0;
  if (converged) return held > 0 ? HELD_EXIT_CODE : 0;
  return settled ? ERROR_CODES.failed_precondition.exitCode : CONVERGING_EXIT_CODE;
}

function describe(context: CliContext, state: Status, wide: boolean): string {
  const { colours } = context;
  const sections = [renderFields(summary(context, state))];
  if (state.pools.length > 0) {
    sections.push(
      renderTable(
        state.pools.toSorted(compareAddresses),
        poolColumns(context, state.hostd.state === 'connected'),
        wide,
      ),
    );
  }
  if (state.problems.length > 0) {
    sections.push(
      `${colours.bold('Problems')}\n${indent(renderTable(state.problems, problemColumns(context), wide))}`,
    );
  }
  if (state.pending.length > 0) {
    const columns = [
      { header: 'ACTION', cell: (action: Status['pending'][number]) => action.kind.replaceAll('_', '-') },
      { header: 'OBJECT', cell: (action: Status['pending'][number]) => formatAddress(action) },
      { header: 'WHY', cell: (action: Status['pending'][number]) => action.reason },
    ];
    sections.push(`${colours.bold('To do')}\n${indent(renderTable(state.pending, columns, wide))}`);
  }
  const recent = wide
    ? state.recent
    : state.recent.filter(({ error }) => error !== null).slice(0, MAX_FAILURES);
  if (recent.length > 0) {
    const title = wide ? 'Done lately' : 'Failed lately';
    sections.push(`${colours.bold(title)}\n${indent(renderTable(recent, decisionColumns(context), wide))}`);
  }
  return sections.join('\n');
}

function summary({ colours, nowMs }: CliContext, state: Status): (readonly [string, string | undefined])[] {
  const { hostd, desired, last_pass: pass } = state;
  const verdict =
    hostd.state !== 'connected'
      ? colours.red('unknown: agentd cannot ask hostd')
      : state.converged
        ? state.held > 0
          ? colours.yellow(`as desired, except for ${describeHeld(state)}`)
          : colours.green('as desired')
        : state.settled
          ? colours.red('not as desired, and nothing more to do until something changes')
          : colours.yellow('converging');
  const connection =
    hostd.state === 'connected'
      ? `connected, protocol ${hostd.version ?? '?'} (${onOneLine(hostd.server ?? 'unnamed')})`
      : colours.red(
          `${hostd.state.replaceAll('_', ' ')}${hostd.error === null ? '' : `: ${onOneLine(hostd.error.message)}`}`,
        );
  const source = desired.source === 'file' ? `file ${desired.path ?? ''}` : desired.source;
  return [
    ['Host', desired.revision === null ? colours.yellow('no desired state yet: mvm apply --help') : verdict],
    ['Node', state.node_id ?? undefined],
    [
      'Revision',
      desired.revision === null
        ? undefined
        : `${desired.revision} from ${onOneLine(source)}, ${formatAgo(desired.loaded_at, nowMs())}`,
    ],
    ['Rejected', desired.error === null ? undefined : colours.red(onOneLine(desired.error.message))],
    ['Agentd', `${state.agentd.version}, up ${formatAgeOf(state.agentd.started_at, nowMs())}`],
    ['Hostd', connection],
    [
      'Seen',
      hostd.state === 'connected' || state.observed_at === null
        ? undefined
        : colours.red(`what follows is of ${formatAgo(state.observed_at, nowMs())}`),
    ],
    ['Network', networkOf(state, colours, nowMs())],
    [
      'Last pass',
      pass === null
        ? 'none yet'
        : `number ${pass.number}, ${formatAgo(pass.started_at, nowMs())}, ${pass.actions} actions, ${pass.failed} failed, ${formatDuration(pass.duration_ms)}`,
    ],
    [
      'Pass error',
      pass === null || pass.error === null ? undefined : colours.red(onOneLine(pass.error.message)),
    ],
  ];
}

function poolColumns({ colours }: CliContext, current: boolean): Column<PoolStatus>[] {
  const stateOf = ({ converged, held }: PoolStatus): string => {
    if (!current) return 'unknown';
    if (!converged) return 'not yet';
    return held > 0 ? `as desired, ${held} held` : 'as desired';
  };
  return [
    { header: 'POOL', cell: formatAddress },
    { header: 'RUNNING', cell: (pool) => `${pool.actual.running}/${pool.wanted.running}`, align: 'right' },
    { header: 'WARM', cell: (pool) => `${pool.actual.warm}/${pool.wanted.warm}`, align: 'right' },
    { header: 'SLEEPING', cell: (pool) => `${pool.actual.sleeping}/${pool.wanted.sleeping}`, align: 'right' },
    { header: 'STOPPED', cell: (pool) => String(pool.actual.stopped), align: 'right' },
    { header: 'HELD', cell: (pool) => String(pool.held), align: 'right' },
    {
      header: 'STATE',
      cell: stateOf,
      style: (text, pool) => (stateOf(pool) === 'as desired' ? colours.green(text) : colours.yellow(text)),
    },
  ];
}

function problemColumns({ colours, nowMs }: CliContext): Column<Problem>[] {
  return [
    { header: 'OBJECT', cell: formatAddress },
    { header: 'KIND', cell: (problem) => problem.kind, style: (text) => colours.yellow(text) },
    { header: 'REASON', cell: (problem) => problem.reason, wide: true },
    { header: 'AGAIN-IN', cell: (problem) => untilOf(problem.until, nowMs()) },
    { header: 'MESSAGE', cell: (problem) => problem.message },
  ];
}

function decisionColumns({ colours, nowMs }: CliContext): Column<Decision>[] {
  return [
    { header: 'AGE', cell: (decision) => formatAgeOf(decision.at, nowMs()) },
    { header: 'ACTION', cell: (decision) => decision.kind.replaceAll('_', '-') },
    { header: 'OBJECT', cell: formatAddress },
    { header: 'TOOK', cell: (decision) => formatDuration(decision.duration_ms), align: 'right', wide: true },
    {
      header: 'RESULT',
      cell: (decision) => decision.error?.message ?? 'ok',
      style: (text, decision) => (decision.error === null ? text : colours.red(text)),
    },
  ];
}

/** What the last verification of the network came to; absent when there was none. */
function networkOf({ network }: Status, colours: CliContext['colours'], now: number): string | undefined {
  if (network === null) return undefined;
  const when = `verified ${formatAgo(network.verified_at, now)}`;
  if (network.error !== null) {
    return colours.red(`could not be verified: ${onOneLine(network.error.message)}`);
  }
  if (network.drift_count === 0) return `${colours.green('as recorded')}, ${when}`;
  const since = network.drifts.map((drift) => drift.since).sort()[0] ?? null;
  const text = `${network.drift_count} differences, the oldest for ${formatAgeOf(since, now)}, ${when}: mvm net verify`;
  return network.persistent > 0 ? colours.red(text) : colours.yellow(text);
}

function untilOf(until: string | null, now: number): string {
  return until === null ? '' : formatDuration(Math.max(0, Date.parse(until) - now));
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
