import type { NetworkDriftView, NetworkProbe, NetworkReport } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { renderDocument } from '../format/documents.js';
import { formatDuration } from '../format/duration.js';
import { type Column, renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';

/** As `failed_precondition`: the network is not as recorded. */
const DRIFT_EXIT_CODE = 4;

const PLURALS: Readonly<Record<string, string>> = {
  bridge: 'bridges',
  address: 'addresses',
  tap: 'TAPs',
  table: 'tables',
  element: 'set elements',
  profile: 'policies',
  rule: 'routing rules',
  sysctl: 'settings',
};

const SINGULARS: Readonly<Record<string, string>> = { address: 'address', profile: 'policy' };

/** `mvm net verify`. */
export const netVerify: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command
      .argument('[tenant]', 'only what belongs to this tenant')
      .option('--deep', 'also send packets as a guest would, and check that forbidden ones are blocked');
    completeWith(command, 'tenant');
    addHelp(
      command,
      'Compares the kernel with hostd’s records, object by object: bridges, addresses, TAPs and their owners, nftables\ntables, rules and set elements, routing rules, settings. Changes nothing. Exit code 4 when something differs.\nhostd repairs differences by itself within 10 seconds. Only a difference that stays needs your attention.\n\n--deep attaches a port to the bridge for a moment, with the rules of an instance’s port, and sends packets through\nit: to the gateway, the host, other tenants and private ranges, and with forged addresses. A probe counts as blocked\nif no answer came and the named counter counted it. No packet goes further than the next router.',
      [
        ['mvm net verify', 'The whole host'],
        ['mvm net verify acme --deep', 'One tenant, with packets'],
        ['mvm net verify -o json | jq .drifts', 'For scripts'],
      ],
    );
  },
  async run(context, invocation) {
    const operand = invocation.optionalOperand(0);
    const tenant = operand === undefined ? undefined : parseTenantId(operand);
    const deep = invocation.flag('deep');
    const agentd = await context.agentd();
    const { signal } = context;
    const reports: NetworkReport[] = [];
    if (deep && tenant === undefined) {
      const { tenants } = await agentd.listTenants({}, { signal });
      reports.push(await agentd.verifyNetwork({}, { signal }));
      const ids = tenants.filter(({ network_up }) => network_up).map(({ tenant_id }) => tenant_id);
      for (const tenant_id of ids.sort()) {
        reports.push(await agentd.verifyNetwork({ query: { tenant: tenant_id, deep } }, { signal }));
      }
    } else {
      reports.push(await agentd.verifyNetwork({ query: { tenant, deep } }, { signal }));
    }
    const [only] = reports;
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      const [kind, value] =
        reports.length === 1 && only !== undefined
          ? (['NetworkReport', { ...only }] as const)
          : (['NetworkReportList', { items: reports }] as const);
      context.stdout.write(await renderDocument(kind, value, invocation.format));
    } else {
      context.stdout.write(reports.map((report) => describe(context, report)).join('\n'));
      for (const report of reports) advise(context, report);
    }
    if (reports.some((report) => !isInLine(report))) throw new ReportedFailure(DRIFT_EXIT_CODE);
  },
};

function isInLine({ drift_count, probes }: NetworkReport): boolean {
  return drift_count === 0 && (probes ?? []).every(({ outcome }) => outcome !== 'not_as_wanted');
}

function describe(context: CliContext, report: NetworkReport): string {
  const { colours } = context;
  const name = report.tenant_id ?? 'host';
  const compared = report.kinds
    .filter(({ checked }) => checked > 0)
    .map(
      ({ object, checked }) => `${checked} ${checked === 1 ? singular(object) : (PLURALS[object] ?? object)}`,
    )
    .join(', ');
  const verdict =
    report.drift_count === 0
      ? colours.green('as recorded')
      : colours.red(`${report.drift_count} ${report.drift_count === 1 ? 'difference' : 'differences'}`);
  const lines = [`${name}: ${verdict} (${compared}; ${formatDuration(report.duration_ms)})\n`];
  if (report.drifts.length > 0) lines.push(renderTable(report.drifts, driftColumns(context), false));
  if (report.probes !== null && report.probes.length > 0) {
    lines.push(renderTable(report.probes, probeColumns(context), false));
  }
  return lines.join('');
}

function singular(object: string): string {
  return SINGULARS[object] ?? (PLURALS[object] ?? object).replace(/s$/, '');
}

function driftColumns({ colours }: CliContext): Column<NetworkDriftView>[] {
  return [
    { header: 'OBJECT', cell: ({ object }) => object },
    { header: 'NAME', cell: ({ name }) => name },
    { header: 'STATE', cell: ({ state }) => state, style: (text) => colours.yellow(text) },
    { header: 'DETAIL', cell: ({ detail }) => detail },
  ];
}

function probeColumns({ colours }: CliContext): Column<NetworkProbe>[] {
  const style = { as_wanted: colours.green, not_as_wanted: colours.red, skipped: colours.dim };
  return [
    { header: 'PROBE', cell: ({ name }) => name },
    { header: 'MUST', cell: ({ expects }) => (expects === 'control' ? 'pass' : 'be blocked') },
    {
      header: 'RESULT',
      cell: ({ outcome }) => outcome.replaceAll('_', ' '),
      style: (text, { outcome }) => style[outcome](text),
    },
    { header: 'COUNTER', cell: ({ counter }) => counter ?? '' },
    { header: 'DETAIL', cell: ({ detail }) => detail },
  ];
}

function advise(context: CliContext, report: NetworkReport): void {
  const of = report.tenant_id === null ? '' : ` ${report.tenant_id}`;
  const hint = context.errorColours.cyan('hint:');
  if (report.drift_count > report.drifts.length) {
    context.say(`and ${report.drift_count - report.drifts.length} more differences`);
  }
  if (report.drift_count > 0) {
    context.say(
      `${hint} hostd repairs this by itself within 10 seconds; "mvm net plan${of}" shows the text that does. What stays:\n      journalctl -u mvm-hostd says why, and a restart of mvm-hostd brings everything in line (VMs run on).`,
    );
  }
  if ((report.probes ?? []).some(({ outcome }) => outcome === 'not_as_wanted')) {
    context.say(
      `${hint} a probe that must be blocked and is not, is a hole: see the differences above, then other software's\n      rules with "mvm doctor" and "nft list ruleset". docs/networking.md explains each probe.`,
    );
  }
}
