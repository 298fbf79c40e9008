import { formatAddress, parseScope } from '../address/address.js';
import { refuseUnknown } from '../address/refuse-unknown.js';
import type { CommandModule } from '../command.js';
import { formatBytes } from '../format/bytes.js';
import { addListOptions } from '../format/list-options.js';
import { printList } from '../format/print.js';
import type { Column } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import { type ActivityAnswer, type Usage, usageBetween } from '../top/usage.js';
import { addWatchOption, showOrWatch } from '../watch/watch-option.js';

/** Rates are measured over at least this time. */
const SPAN_MS = 1000;

/** `mvm top`. */
export const top: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('[scope]', 'only those of a <tenant> or a <tenant>/<pool>');
    addWatchOption(command);
    addListOptions(command);
    completeWith(command, 'scope');
    addHelp(
      command,
      "Shows what running and warm instances use, as the host counts it: CPU in percent of one CPU of the host, memory of the\nvirtual machine monitor with the guest's, and the network. Rates are of the last second.",
      [
        ['mvm top', 'All instances'],
        ['mvm top acme --watch', "A tenant's, again every second"],
        ['mvm top --sort-by .cpu_percent', 'The busiest last'],
      ],
    );
  },
  async run(context, invocation) {
    const scope = parseScope(invocation.optionalOperand(0));
    const agentd = await context.agentd();
    const options = { signal: context.signal };
    let before: ActivityAnswer | null = null;
    await showOrWatch(context, invocation, {
      kind: 'UsageList',
      read: async () => {
        if (before === null) {
          before = await agentd.getActivity({}, options);
          await context.sleep(SPAN_MS);
        }
        const [after, { instances }] = await Promise.all([
          agentd.getActivity({}, options),
          agentd.listInstances({}, options),
        ]);
        const usage = usageBetween(before, after, instances, scope);
        before = after;
        if (usage.length === 0) await refuseUnknown(context, scope);
        return usage;
      },
      document: (items) => ({ items }),
      print: (to, items) =>
        printList(to, invocation, {
          kind: 'Usage',
          items,
          columns: COLUMNS,
          name: formatAddress,
          empty: 'nothing runs',
        }),
    });
  },
};

const COLUMNS: readonly Column<Usage>[] = [
  { header: 'INSTANCE', cell: formatAddress },
  { header: 'STATUS', cell: ({ status }) => status },
  {
    header: 'CPU',
    cell: ({ cpu_percent: cpu }) => (cpu === null ? '' : `${cpu.toFixed(1)}%`),
    align: 'right',
  },
  { header: 'MEMORY', cell: ({ memory_bytes: bytes }) => bytesOf(bytes), align: 'right' },
  { header: 'GUEST-MEMORY', cell: ({ guest_memory_bytes: bytes }) => bytesOf(bytes), align: 'right' },
  { header: 'RECEIVES', cell: ({ rx_bytes_per_second: rate }) => rateOf(rate), align: 'right' },
  { header: 'SENDS', cell: ({ tx_bytes_per_second: rate }) => rateOf(rate), align: 'right' },
];

function bytesOf(bytes: number | null): string {
  return bytes === null ? '' : formatBytes(bytes);
}

function rateOf(rate: number | null): string {
  return rate === null ? '' : `${formatBytes(rate)}/s`;
}
