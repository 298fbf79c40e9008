import type { DropCounterView, NetworkDrops } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { usageError } from '../errors/usage-error.js';
import { formatBytes } from '../format/bytes.js';
import { onOneLine } from '../format/control-characters.js';
import { printObject } from '../format/print.js';
import { type Column, renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import { droppedSince } from '../net/dropped-since.js';

const INTERVAL_MS = 1000;

/** `mvm net drops`. */
export const netDrops: CommandModule = {
  formats: ['table', 'wide', 'json', 'yaml'],
  configure(command) {
    command.option('-w, --watch', 'go on, and print what is dropped from now on');
    completeWith(command);
    addHelp(
      command,
      'Each reason to drop a guest’s packet has its own counter. To see why a guest cannot reach something, use --watch and\nlet the guest try: the counter that changes is the reason. If none changes, the packet never arrived (does the guest\nrun, is its address right?), or other software dropped it later ("mvm doctor").\nThe counters are sums over all tenants. They start at zero when hostd loads its tables.',
      [
        ['mvm net drops --watch', 'What is dropped while you try'],
        ['mvm net drops -o wide', 'All counters, with what to look at'],
        ["mvm net drops -o json | jq '.counters[] | select(.packets > 0)'", 'For scripts'],
      ],
    );
  },
  async run(context, invocation) {
    const agentd = await context.agentd();
    const read = () => agentd.getNetworkDrops({}, { signal: context.signal });
    const { format } = invocation;
    if (!invocation.flag('watch')) {
      const drops = await read();
      await printObject(context, invocation, {
        kind: 'NetworkDrops',
        value: drops,
        name: '',
        text: () => renderDrops(drops, format === 'wide'),
      });
      const silent = drops.counters.filter(({ packets }) => packets === 0).length;
      if (format === 'table' && silent > 0)
        context.say(`${silent} more counters are at 0 (-o wide shows them)`);
      return;
    }
    if (format === 'json' || format === 'yaml') {
      throw usageError(
        '--watch prints for people only',
        'Leave out -o, or call again and compare the counts.',
      );
    }
    await watch(context, read);
  },
};

function renderDrops({ counters }: NetworkDrops, wide: boolean): string {
  const shown = wide ? counters : counters.filter(({ packets }) => packets > 0);
  const columns: Column<DropCounterView>[] = [
    { header: 'COUNTER', cell: ({ name }) => name },
    { header: 'PACKETS', cell: ({ packets }) => String(packets), align: 'right' },
    { header: 'BYTES', cell: ({ bytes }) => formatBytes(bytes), align: 'right' },
    { header: 'TABLE', cell: ({ table }) => table, wide: true },
    { header: 'THE PACKET', cell: ({ meaning }) => meaning },
    { header: 'LOOK AT', cell: ({ advice }) => advice, wide: true },
  ];
  return shown.length === 0 ? '' : renderTable(shown, columns, wide);
}

/** Prints one line per counter that moved in the last second, until the user breaks off. */
async function watch(context: CliContext, read: () => Promise<NetworkDrops>): Promise<void> {
  context.say('let the guest try now; Ctrl-C ends this');
  const { colours } = context;
  for (let before = await read(); ; ) {
    await context.sleep(INTERVAL_MS);
    const now = await read();
    for (const { counter, packets, bytes } of droppedSince(before, now)) {
      const time = /T(\d\d:\d\d:\d\d)/.exec(now.at)?.[1] ?? now.at;
      const head = `${time}  ${colours.yellow(counter.name)}  +${packets} packets, +${formatBytes(bytes)}`;
      context.stdout.write(
        `${head}: the packet ${onOneLine(counter.meaning)}\n          ${colours.dim(onOneLine(counter.advice))}\n`,
      );
    }
    before = now;
  }
}
