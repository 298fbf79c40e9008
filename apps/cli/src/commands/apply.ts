import { Option } from 'commander';
import { endDryRun, printApplied } from '../apply/print-applied.js';
import { readDesiredState } from '../apply/read-document.js';
import type { CommandModule } from '../command.js';
import { parseDuration } from '../format/duration.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { withProgress } from '../progress/with-progress.js';
import { waitForConvergence } from '../wait/wait-for-convergence.js';

const DEFAULT_TIMEOUT_MS = 120_000;

const EXAMPLE_STATE = `A desired state, complete:

  schema_version: 1
  node_id: node-1
  tenants:
    - tenant_id: acme
      network: { tenant_net_id: 3, ipv4_subnet: 10.240.3.0/24 }
      quotas: { max_vcpus: 16, max_mem_mib: 32768, max_running: 8, max_warm: 4,
                max_pools: 4, max_instances_per_pool: 16, max_disk_gib: 100 }
      pools:
        - pool_id: web
          flake_ref: demo            # name of a registered image: mvm image list
          instance_resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 0 }
          desired_counts: { running: 2, warm: 0, sleeping: 1 }`;

/** `mvm apply`. */
export const apply: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command
      .requiredOption('-f, --file <file>', 'YAML or JSON file, or - for standard input')
      .option('--wait', 'wait until the host is as the file says')
      .addOption(
        new Option('--timeout <duration>', 'how long to wait')
          .argParser(parseDuration)
          .default(DEFAULT_TIMEOUT_MS, '2m'),
      );
    addDryRunOption(command);
    completeWith(command, 'none');
    addHelp(
      command,
      `The file is the whole of what this host shall run. Applying the same twice changes nothing.\n\n${EXAMPLE_STATE}`,
      [
        ['mvm apply -f state.yaml --dry-run', 'See what it would do'],
        ['mvm apply -f state.yaml --wait', 'Do it, and wait until everything is so'],
        ['generate-state | mvm apply -f - -o json', 'From a script'],
      ],
    );
  },
  async run(context, invocation) {
    const desired = await readDesiredState(context, invocation.text('file') ?? '-');
    const dryRun = isDryRun(invocation);
    const timeoutMs = invocation.number('timeout') ?? DEFAULT_TIMEOUT_MS;
    const agentd = await context.agentd();
    const result = await withProgress(context, dryRun ? 'planning' : 'applying', () =>
      agentd.putDesired({ body: desired, query: { dry_run: dryRun } }, { signal: context.signal, timeoutMs }),
    );
    await printApplied(context, invocation, result);
    if (dryRun) endDryRun(result);
    if (result.applied && invocation.flag('wait'))
      await waitForConvergence(context, result.revision, timeoutMs);
  },
};
