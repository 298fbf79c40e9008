import type { AuditEntryView } from '@mvm/protocol';
import { Option } from 'commander';
import { parseScope, type Scope } from '../address/address.js';
import { EventReader } from '../audit/event-reader.js';
import type { CommandModule } from '../command.js';
import { onOneLine } from '../format/control-characters.js';
import { renderDocumentLine } from '../format/documents.js';
import { addListOptions } from '../format/list-options.js';
import { printList } from '../format/print.js';
import { parseSince, type Since, sinceTime } from '../format/since.js';
import { displayWidth } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import { untilAnswered } from '../watch/until-answered.js';

const POLL_MS = 1000;
const DEFAULT_SINCE: Since = { agoMs: 3_600_000 };

/** `mvm events`. */
export const events: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command
      .argument('[scope]', 'only those of a <tenant> or a <tenant>/<pool>')
      .option('-f, --follow', 'print new events as they happen, until Ctrl-C')
      .addOption(new Option('--since <time>', 'a time, or how long ago (default: 1h)').argParser(parseSince));
    addListOptions(command);
    completeWith(command, 'scope');
    addHelp(
      command,
      'Shows what happened to all tenants, out of their audit logs, in the order of time: operations with their result and\nwho asked for them, and virtual machines that ended by themselves. With -f -o json one line per event.',
      [
        ['mvm events', 'The last hour'],
        ['mvm events -f acme/web', 'Follow one pool'],
        ['mvm events -f -o json | jq -r \'select(.result == "error") | .message\'', 'Failures, for scripts'],
      ],
    );
  },
  async run(context, invocation) {
    const scope = parseScope(invocation.optionalOperand(0));
    const since = sinceTime(invocation.value<Since>('since') ?? DEFAULT_SINCE, context.nowMs());
    const reader = new EventReader(context, scope, since);
    const first = await reader.read();
    if (!invocation.flag('follow')) {
      await printList(context, invocation, {
        kind: 'Event',
        items: first,
        columns: COLUMNS,
        name: ({ op_id }) => op_id,
        empty: `no events${nameOf(scope)} since ${since}`,
      });
      return;
    }
    const isJson = invocation.format !== 'table';
    if (!isJson && !invocation.isOff('headers'))
      context.stdout.write(line(COLUMNS.map(({ header }) => header)));
    for (let found = first; ; ) {
      for (const event of found) {
        const text = isJson
          ? renderDocumentLine('Event', { ...event })
          : line(COLUMNS.map(({ cell }) => onOneLine(cell(event))));
        context.stdout.write(text);
      }
      await context.sleep(POLL_MS);
      found = await untilAnswered(context, () => reader.read());
    }
  },
};

const COLUMNS = [
  { header: 'TIME', cell: ({ at }: AuditEntryView) => at, width: 24 },
  { header: 'OBJECT', cell: objectOf, width: 32 },
  { header: 'OPERATION', cell: ({ operation }: AuditEntryView) => operation, width: 16 },
  { header: 'RESULT', cell: resultOf, width: 12 },
  { header: 'BY', cell: byOf, width: 10 },
  { header: 'MESSAGE', cell: ({ message }: AuditEntryView) => message ?? '', width: 0 },
];

/** Columns of a fixed least width: what comes later is not known yet. */
function line(cells: readonly string[]): string {
  const padded = cells.map((cell, index) => {
    const width = COLUMNS[index]?.width ?? 0;
    return (cell || '-') + ' '.repeat(Math.max(0, width - displayWidth(cell || '-')));
  });
  return `${padded.join('   ').trimEnd()}\n`;
}

function objectOf({ tenant_id, pool_id, instance_id }: AuditEntryView): string {
  return [tenant_id, pool_id, instance_id].filter((part) => part !== null).join('/');
}

function resultOf({ result, reason, code }: AuditEntryView): string {
  if (result === 'ok') return reason === null ? 'ok' : `ok, ${reason}`;
  return reason ?? code ?? 'error';
}

/** On whose behalf agentd asked, or else who asked hostd; empty for what happens by itself. */
function byOf({ details, peer }: AuditEntryView): string {
  const { for_uid: uid, cause } = details;
  if (cause !== undefined) return uid === undefined ? String(cause) : `uid ${uid} (${cause})`;
  return peer === null ? '' : `uid ${peer.uid}`;
}

function nameOf({ tenantId, poolId }: Scope): string {
  if (tenantId === undefined) return '';
  return ` of ${poolId === undefined ? tenantId : `${tenantId}/${poolId}`}`;
}
