import type { AuditEntryView } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import { InvalidArgumentError, Option } from 'commander';
import type { CommandModule } from '../command.js';
import { formatDuration } from '../format/duration.js';
import { addListOptions } from '../format/list-options.js';
import { printList } from '../format/print.js';
import { parseSince, type Since, sinceTime } from '../format/since.js';
import type { Column } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm audit log`. */
export const auditLog: CommandModule = {
  formats: ['table', 'wide', 'json', 'yaml'],
  configure(command) {
    command
      .argument('<tenant>', 'the tenant, which may be removed already')
      .addOption(
        new Option(
          '--since <time>',
          'only what happened since: a time, or how long ago (15m, 2h, 7d)',
        ).argParser(parseSince),
      )
      .addOption(new Option('-n, --tail <entries>', 'only the last entries').argParser(parseCount));
    addListOptions(command);
    completeWith(command, 'tenant');
    addHelp(
      command,
      'Shows who sent which request to hostd, when, and how it ended. hostd writes an entry before it answers.\n"mvm audit verify" checks that no entry was changed afterwards.',
      [
        ['mvm audit log acme', 'Everything that is kept'],
        ['mvm audit log acme --since 2h -o wide', 'The last two hours, with message, caller and duration'],
        [
          'mvm audit log acme -o json | jq -r \'.items[] | select(.result == "error") | .message\'',
          'What failed',
        ],
      ],
    );
  },
  async run(context, invocation) {
    const tenant = parseTenantId(invocation.operand(0));
    const since = invocation.value<Since>('since');
    const tail = invocation.number('tail');
    const agentd = await context.agentd();
    const query = since === undefined ? {} : { since: sinceTime(since, context.nowMs()) };
    let items: AuditEntryView[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await agentd.getAuditLog(
        { params: { tenant }, query: { ...query, ...(cursor === undefined ? {} : { cursor }) } },
        { signal: context.signal },
      );
      items.push(...page.entries);
      if (tail !== undefined) items = tail === 0 ? [] : items.slice(-tail);
      cursor = page.next_cursor;
    }
    await printList(context, invocation, {
      kind: 'AuditEntry',
      items,
      columns: columns((text) => context.colours.red(text)),
      name: (entry) => entry.op_id,
      empty: 'no entries',
    });
  },
};

function columns(red: (text: string) => string): Column<AuditEntryView>[] {
  return [
    { header: 'SEQ', cell: ({ seq }) => (seq === null ? '' : String(seq)), align: 'right', wide: true },
    { header: 'TIME', cell: ({ at }) => at },
    { header: 'OPERATION', cell: ({ operation }) => operation },
    { header: 'OBJECT', cell: objectOf },
    {
      header: 'RESULT',
      // Of a VM that ended by itself the reason is how; it is no error of hostd's.
      cell: ({ result, reason, code }) =>
        result === 'ok' ? (reason === null ? 'ok' : `ok, ${reason}`) : (reason ?? code ?? 'error'),
      style: (text, { result }) => (result === 'ok' ? text : red(text)),
    },
    { header: 'UID', cell: ({ peer }) => (peer === null ? '' : String(peer.uid)), align: 'right' },
    {
      header: 'PID',
      cell: ({ peer }) => (peer === null ? '' : String(peer.pid)),
      align: 'right',
      wide: true,
    },
    { header: 'TOOK', cell: ({ duration_ms }) => formatDuration(duration_ms), align: 'right', wide: true },
    { header: 'OP-ID', cell: ({ op_id }) => op_id, wide: true },
    { header: 'DETAILS', cell: ({ details }) => detailText(details) },
    { header: 'MESSAGE', cell: ({ message }) => (message ?? '').slice(0, 120), wide: true },
  ];
}

function objectOf({ pool_id, instance_id }: AuditEntryView): string {
  return [pool_id, instance_id].filter((part) => part !== null).join('/');
}

function detailText(details: AuditEntryView['details']): string {
  return Object.entries(details)
    .map(([name, value]) => `${name}=${String(value).slice(0, 40)}`)
    .join(' ');
}

function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Use a number of entries, 0 or more.');
  return Number(text);
}
