import { isCodedError } from '@mvm/protocol';
import { InvalidArgumentError, Option } from 'commander';
import type { CommandModule } from '../command.js';
import { renderDocument } from '../format/documents.js';
import { renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';

/** One hop's round trips in milliseconds; `error` when it was not answered. */
interface Hop {
  readonly hop: string;
  readonly round_trips_ms: readonly number[];
  readonly error: string;
}

const INTERVAL_MS = 200;

/** `mvm ping`. */
export const ping: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command.addOption(new Option('-c, --count <n>', 'how many times').argParser(parseCount).default(1));
    completeWith(command);
    addHelp(command, 'Measures mvm → agentd and agentd → hostd apart, so that a silent one is found.', [
      ['mvm ping', 'Are both daemons there?'],
      ['mvm ping -c 20', 'With the spread of the round trips'],
    ]);
  },
  async run(context, invocation) {
    const agentd = await context.agentd();
    const toAgentd: number[] = [];
    const toHostd: number[] = [];
    let failure: unknown;
    try {
      // Connecting and the first use of everything are not part of a round trip.
      await agentd.ping({}, { signal: context.signal });
      for (let turn = 0; turn < (invocation.number('count') ?? 1); turn++) {
        if (turn > 0) await context.sleep(INTERVAL_MS);
        const start = context.monotonicMs();
        const answer = await agentd.ping({}, { signal: context.signal });
        const totalMs = context.monotonicMs() - start;
        toHostd.push(round(answer.hostd_round_trip_ms));
        toAgentd.push(round(Math.max(0, totalMs - answer.hostd_round_trip_ms)));
      }
    } catch (error) {
      // agentd's own absence is a plain error; that it answered with an error about hostd is a result.
      if (!isCodedError(error) || error.reason.startsWith('agentd.') || context.signal.aborted) throw error;
      failure = error;
    }
    const hops: Hop[] = [
      { hop: 'mvm → agentd', round_trips_ms: toAgentd, error: '' },
      { hop: 'agentd → hostd', round_trips_ms: toHostd, error: failure === undefined ? '' : 'no answer' },
    ];
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      context.stdout.write(await renderDocument('Ping', { hops }, invocation.format));
    } else {
      context.stdout.write(renderTable(hops, columnsFor(toHostd.length > 1), false));
    }
    if (failure !== undefined) throw failure;
  },
};

function columnsFor(several: boolean) {
  const milliseconds = (value: number | undefined) => (value === undefined ? '' : `${value}ms`);
  const figure = (header: string, of: (values: readonly number[]) => number | undefined) => ({
    header,
    align: 'right' as const,
    cell: (hop: Hop) => milliseconds(of(hop.round_trips_ms)),
  });
  return [
    { header: 'HOP', cell: (hop: Hop) => hop.hop },
    { header: 'ANSWER', cell: (hop: Hop) => hop.error || 'ok' },
    ...(several
      ? [
          figure('MIN', (values) => (values.length > 0 ? Math.min(...values) : undefined)),
          figure('MEDIAN', (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]),
          figure('MAX', (values) => (values.length > 0 ? Math.max(...values) : undefined)),
        ]
      : [figure('ROUND-TRIP', (values) => values[0])]),
  ];
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('Use a number from 1 to 99999.');
  return Number(text);
}
