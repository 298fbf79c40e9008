import type { AuditHead, AuditVerification } from '@mvm/audit-log';
import { type AuditReportView, CodedError } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import { Option } from 'commander';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { usageError } from '../errors/usage-error.js';
import { onOneLine } from '../format/control-characters.js';
import { printList } from '../format/print.js';
import { addHelp, completeWith } from '../help.js';
import type { Invocation } from '../invocation.js';

/** As `failed_precondition`: a log is not as hostd wrote it. */
const NOT_INTACT_EXIT_CODE = 4;

/** What is printed of a log; of a file, `tenant_id` is null when it is empty. */
type Report = Omit<AuditReportView, 'tenant_id'> & { readonly tenant_id: string | null };

/** `mvm audit verify`. */
export const auditVerify: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command
      .argument('[tenants...]', 'tenants; none for all that have a log')
      .addOption(
        new Option(
          '--file <path>',
          'a copy of a log, read here; "<name>.head" beside "<name>.log" is its head',
        ),
      );
    completeWith(command, 'tenant');
    addHelp(
      command,
      'Finds what was changed, moved, repeated, inserted or removed in an audit log after hostd wrote it.\nExit code 4 when something was. A host whose root is not trusted can say what it likes: copy its\naudit.log and audit.head elsewhere, often, and verify the copies there with --file.',
      [
        ['mvm audit verify', 'All logs of this host'],
        ['mvm audit verify acme -o json', 'One tenant, for scripts'],
        ['mvm audit verify --file /backup/acme/audit.log acme', 'A copy, on any machine, without a daemon'],
      ],
    );
  },
  async run(context, invocation) {
    const tenants = invocation.operands(0).map(parseTenantId);
    const file = invocation.text('file');
    const reports = file === undefined ? await ask(context, tenants) : [await readFile(file, tenants)];
    await print(context, invocation, reports);
    if (reports.some(({ problem_count }) => problem_count > 0))
      throw new ReportedFailure(NOT_INTACT_EXIT_CODE);
  },
};

async function ask(context: CliContext, tenants: readonly string[]): Promise<Report[]> {
  const agentd = await context.agentd();
  const options = { signal: context.signal };
  if (tenants.length === 0) return (await agentd.verifyAudit({}, options)).reports;
  const reports: Report[] = [];
  for (const tenant of new Set(tenants)) {
    reports.push(...(await agentd.verifyAudit({ query: { tenant } }, options)).reports);
  }
  return reports;
}

async function readFile(path: string, tenants: readonly string[]): Promise<Report> {
  if (tenants.length > 1) {
    throw usageError(
      'a file is the log of one tenant',
      'Name that tenant, or none to take the one in the file.',
    );
  }
  const [{ createReadStream, existsSync, readFileSync, statSync }, { parseHead, verifyAuditLog }] =
    await Promise.all([import('node:fs'), import('@mvm/audit-log')]);
  const headPath = path.replace(/(\.log)?$/, '.head');
  let head: AuditHead | 'damaged' | 'not_given' = 'not_given';
  let found: AuditVerification;
  try {
    if (!statSync(path).isFile()) throw new Error('not a regular file');
    if (existsSync(headPath)) head = parseHead(readFileSync(headPath, 'utf8')) ?? 'damaged';
    found = await verifyAuditLog(createReadStream(path), { tenantId: tenants[0] ?? null, head });
  } catch (cause) {
    throw new CodedError({
      code: 'not_found',
      reason: 'audit.unreadable',
      message: `cannot read ${path}: ${cause instanceof Error ? cause.message : 'unknown error'}`,
      hint: 'Name a file that you may read: a copy of tenants/<tenant>/audit.log.',
      cause,
    });
  }
  return {
    tenant_id: found.tenantId,
    lines: found.lines,
    unchained_lines: found.unchainedLines,
    first_seq: found.firstSeq,
    last_seq: found.lastSeq,
    head: found.head,
    problems: [...found.problems],
    problem_count: found.problemCount,
  };
}

async function print(context: CliContext, invocation: Invocation, reports: readonly Report[]): Promise<void> {
  const { colours } = context;
  await printList(context, invocation, {
    kind: 'AuditReport',
    items: reports,
    columns: [
      { header: 'TENANT', cell: ({ tenant_id }) => tenant_id ?? '' },
      { header: 'ENTRIES', cell: entries, align: 'right' },
      { header: 'UNCHAINED', cell: ({ unchained_lines }) => String(unchained_lines), align: 'right' },
      { header: 'HEAD', cell: ({ head }) => head.replace('_', ' ') },
      {
        header: 'RESULT',
        cell: ({ problem_count }) => (problem_count === 0 ? 'intact' : `${problem_count} wrong`),
        style: (text, { problem_count }) => (problem_count === 0 ? colours.green(text) : colours.red(text)),
      },
    ],
    name: ({ tenant_id }) => tenant_id ?? '',
    empty: 'no audit logs',
  });
  if (invocation.format !== 'table') return;
  for (const report of reports) {
    const log = report.tenant_id ?? 'the log';
    for (const { line, reason, message } of report.problems) {
      const where = line === null ? '' : `line ${line}: `;
      context.stdout.write(`${log}: ${where}${onOneLine(message)} (${reason})\n`);
    }
    const more = report.problem_count - report.problems.length;
    if (more > 0) context.stdout.write(`${log}: and ${more} more\n`);
    if (report.head === 'none') {
      context.say('no head file beside it: entries removed at the end would not be noticed');
    }
  }
}

function entries({ first_seq, last_seq }: Report): string {
  return first_seq === null || last_seq === null ? '0' : `${first_seq}-${last_seq}`;
}
