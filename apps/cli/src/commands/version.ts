import type { VersionInfo } from '@mvm/agentd-api';
import type { CommandModule } from '../command.js';
import { renderDocument } from '../format/documents.js';
import { renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import { readOwnVersion } from '../own-version.js';

interface Row {
  readonly component: string;
  readonly version: string;
  readonly node: string;
  readonly protocol: string;
}

/** `mvm version`. */
export const version: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command.option('--client', 'only this tool; asks no daemon');
    completeWith(command);
    addHelp(command, '', [
      ['mvm version', 'All three, and whether they match'],
      ['mvm version --client -o json | jq -r .mvm.version', "This tool's version, for scripts"],
    ]);
  },
  async run(context, invocation) {
    const mvm = { version: readOwnVersion(), node_version: process.version };
    const clientOnly = invocation.flag('client');
    let daemons: VersionInfo | undefined;
    let failure: unknown;
    if (!clientOnly) {
      try {
        daemons = await (await context.agentd()).getVersion({}, { signal: context.signal });
      } catch (error) {
        failure = error;
      }
    }
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      context.stdout.write(await renderDocument('Version', { mvm, ...daemons }, invocation.format));
    } else {
      const rows = [{ component: 'mvm', version: mvm.version, node: mvm.node_version, protocol: '' }];
      context.stdout.write(renderTable([...rows, ...daemonRows(daemons)], columns, false));
    }
    if (failure !== undefined) throw failure;
    if (daemons === undefined) return;
    if (daemons.hostd_error !== null) {
      const { fromApiError } = await import('@mvm/agentd-api');
      throw fromApiError(daemons.hostd_error);
    }
    context.say(verdict(mvm.version, daemons));
  },
};

const columns = [
  { header: 'COMPONENT', cell: (row: Row) => row.component },
  { header: 'VERSION', cell: (row: Row) => row.version },
  { header: 'NODE', cell: (row: Row) => row.node },
  { header: 'PROTOCOL', cell: (row: Row) => row.protocol },
];

function daemonRows(info: VersionInfo | undefined): Row[] {
  if (info === undefined) return [];
  const rows = [
    {
      component: 'mvm-agentd',
      version: info.agentd.version,
      node: info.agentd.node_version,
      protocol: info.agentd.protocol_versions.join(', '),
    },
  ];
  if (info.hostd === null) return rows;
  const { hostd } = info;
  return [
    ...rows,
    {
      component: 'mvm-hostd',
      version: hostd.version ?? 'not told',
      node: hostd.node_version ?? '',
      protocol: `${hostd.protocol_versions.join(', ')} (${hostd.protocol_version} in use)`,
    },
  ];
}

function verdict(own: string, { agentd, hostd, compatible }: VersionInfo): string {
  if (!compatible) {
    return `the daemons do not match: agentd knows a newer protocol than the ${hostd?.protocol_version} that hostd speaks; update hostd`;
  }
  const versions = new Set([own, agentd.version, hostd?.version]);
  return versions.size === 1
    ? 'all versions match'
    : 'the versions differ, but the protocol is the same: this works';
}
