import { randomBytes } from 'node:crypto';
import { CodedError } from '@mvm/protocol';
import { parsePoolId, parseTenantId } from '@mvm/protocol/names';
import type { DesiredState } from '@mvm/protocol/state';
import { Option } from 'commander';
import type { InstanceAddress } from '../address/address.js';
import { currentDesired } from '../apply/current-desired.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { usageError } from '../errors/usage-error.js';
import { parseDuration } from '../format/duration.js';
import { parseDetachKeys } from '../guest/detach-keys.js';
import { addEnvOption, environmentOf } from '../guest/env-option.js';
import { runInGuest } from '../guest/run-in-guest.js';
import { parseCpus, parseMemory, parsePublish } from '../guest/run-options.js';
import { type RunSpec, withoutPool, withRunPool } from '../guest/run-pool.js';
import { addHelp, completeWith } from '../help.js';
import type { Invocation } from '../invocation.js';
import { createLogPrinter } from '../logs/log-printer.js';
import { readLog } from '../logs/read-log.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { waitForConvergence } from '../wait/wait-for-convergence.js';
import { endDryRun, printApplied } from './apply.js';

const DEFAULT_TIMEOUT_MS = 120_000;
const DEFAULT_MEM_MIB = 256;

/** `mvm run`. */
export const run: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command
      .argument('<image>', 'a registered image: mvm image list')
      .argument(
        '[command...]',
        "a program to run in it, beside the image's own; without one, its console is followed",
      )
      .requiredOption(
        '--tenant <tenant>',
        'whose instance it is; made with a network of its own if there is none',
      )
      .option('--name <pool>', "the pool's name (default: the image's, and some letters)")
      .option('--rm', 'remove the pool and its instance when the command has ended')
      .option('-d, --detach', "print the instance's address, and leave it running")
      .option('-i, --interactive', 'pass stdin on to the command')
      .option('-t, --tty', 'give the command a terminal')
      .addOption(new Option('-p, --publish <ports>', 'host port:guest port').argParser(parsePublish))
      .addOption(
        new Option('-m, --memory <size>', 'as in 512m or 2g')
          .argParser(parseMemory)
          .default(DEFAULT_MEM_MIB, '256m'),
      )
      .addOption(new Option('--cpus <count>', 'virtual CPUs').argParser(parseCpus).default(1, '1'));
    addEnvOption(command);
    command
      .option('-w, --workdir <directory>', 'directory of the command')
      .option('-u, --user <user>', 'user of the command')
      .addOption(
        new Option('--timeout <duration>', 'how long the instance may take to start')
          .argParser(parseDuration)
          .default(DEFAULT_TIMEOUT_MS, '2m'),
      );
    addDryRunOption(command);
    completeWith(command, 'image', 'none');
    addHelp(
      command,
      'Adds a pool of one instance to the desired state in force, waits until it runs, and runs the command in it, with the\nexit codes of "mvm exec". The image\'s own command runs beside it. Without --rm the instance stays: agentd keeps it\nrunning, also after a reboot of the host. --rm removes no data of other pools.',
      [
        [
          'mvm run --tenant acme --rm -it app -- /bin/sh',
          'A shell in a microVM of its own, which is gone afterwards',
        ],
        ['mvm run --tenant acme -d -p 8080:80 web', 'A web server, reached through port 8080 of this host'],
      ],
    );
  },
  async run(context, invocation) {
    const spec = runSpecOf(invocation);
    const args = invocation.operands(1);
    const [interactive, tty, detach, remove] = ['interactive', 'tty', 'detach', 'rm'].map((name) =>
      invocation.flag(name),
    );
    if (detach === true && (remove === true || args.length > 0))
      throw usageError('-d takes no command and no --rm', 'run one afterwards: mvm exec');
    if (remove === true && args.length === 0)
      throw usageError(
        '--rm needs a command: without one, nothing says when to remove it',
        'mvm run --rm … -- /bin/sh',
      );
    if (tty === true && interactive === true && context.stdin.isTTY !== true)
      throw usageError('stdin is no terminal, as -it needs', 'leave out -t');
    const timeoutMs = invocation.number('timeout') ?? DEFAULT_TIMEOUT_MS;
    const agentd = await context.agentd();
    const { desired } = await agentd.getDesired({}, { signal: context.signal });
    const dryRun = isDryRun(invocation);
    const body = withRunPool(desired, spec);
    const applied = await agentd.putDesired(
      { body, query: { dry_run: dryRun } },
      { signal: context.signal, timeoutMs },
    );
    if (dryRun) {
      await printApplied(context, invocation, applied);
      endDryRun(applied);
      return;
    }
    let code: number;
    try {
      const address = await runningInstance(context, spec, timeoutMs);
      if (detach === true) {
        context.stdout.write(`${address.tenantId}/${address.poolId}/${address.instanceId}\n`);
        return;
      }
      code =
        args.length === 0
          ? await follow(context, address)
          : await runInGuest(context, {
              address,
              args,
              env: environmentOf(invocation.value<string[]>('env') ?? [], context.env),
              cwd: invocation.text('workdir'),
              user: invocation.text('user'),
              interactive: interactive === true,
              tty: tty === true,
              detachKeys: parseDetachKeys('ctrl-p,ctrl-q'),
            });
    } finally {
      if (remove === true) await removePool(context, spec, timeoutMs);
    }
    if (code !== 0) throw new ReportedFailure(code);
  },
};

function runSpecOf(invocation: Invocation): RunSpec {
  const image = invocation.operand(0);
  const base = image
    .replace(/@.*/, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
  const poolId = invocation.text('name') ?? `${base === '' ? 'run' : base}-${randomBytes(2).toString('hex')}`;
  return {
    tenantId: parseTenantId(invocation.text('tenant') ?? ''),
    poolId: parsePoolId(poolId),
    image,
    vcpus: invocation.number('cpus') ?? 1,
    memMib: invocation.number('memory') ?? DEFAULT_MEM_MIB,
    publish: invocation.value<RunSpec['publish']>('publish') ?? [],
  };
}

/** The pool's instance, once it runs. */
async function runningInstance(
  context: CliContext,
  { tenantId, poolId }: RunSpec,
  timeoutMs: number,
): Promise<InstanceAddress> {
  const agentd = await context.agentd();
  const start = context.monotonicMs();
  for (;;) {
    const query = { tenant: tenantId, pool: poolId };
    const { instances } = await agentd.listInstances({ query }, { signal: context.signal });
    const running = instances.find(({ status }) => status === 'running');
    if (running !== undefined) return { tenantId, poolId, instanceId: running.instance_id };
    const { problems } = await agentd.getStatus({}, { signal: context.signal });
    const problem = problems.find(
      (entry) =>
        entry.kind === 'blocked' && entry.tenant_id === tenantId && (entry.pool_id ?? poolId) === poolId,
    );
    if (problem !== undefined) throw notStarted(`${tenantId}/${poolId}`, problem.message);
    if (context.monotonicMs() - start > timeoutMs)
      throw notStarted(
        `${tenantId}/${poolId}`,
        `it did not run within ${Math.round(timeoutMs / 1000)} seconds`,
      );
    await context.sleep(100);
  }
}

function notStarted(pool: string, why: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'cli.not_started',
    message: `no instance of ${pool} runs: ${why}`,
    hint: `the pool stays in the desired state: mvm status; mvm scale ${pool} 0`,
  });
}

/** Its console until it stops, or the caller interrupts. */
async function follow(context: CliContext, address: InstanceAddress): Promise<number> {
  const printer = createLogPrinter(context.stdout, false);
  await readLog(context, {
    address,
    stream: 'console',
    tailLines: undefined,
    follow: true,
    onBytes: (bytes) => printer.print(bytes),
  });
  printer.end();
  return 0;
}

/** Takes the pool out of the desired state, and off the host when no other pool would go with it. */
async function removePool(context: CliContext, spec: RunSpec, timeoutMs: number): Promise<void> {
  const agentd = await context.agentd();
  const { desired } = await currentDesired(context);
  const { problems } = await agentd.getStatus({});
  const name = `${spec.tenantId}/${spec.poolId}`;
  const body = withoutPool(desired, spec);
  const put = (state: DesiredState) => agentd.putDesired({ body: state, query: { dry_run: false } });
  const wouldTakeOthers = !desired.prune_unknown_pools && problems.some(({ kind }) => kind === 'unmanaged');
  // One that is interrupted has no time to wait for the removal.
  if (context.signal.aborted || wouldTakeOthers) {
    await put(body);
    context.say(`${name} is no longer desired and stays on the host: mvm status, mvm instance destroy`);
    return;
  }
  const restore = context.takeSignals(['SIGINT', 'SIGTERM'], () => context.say(`removing ${name}`));
  try {
    const pruning = await put({ ...body, prune_unknown_pools: true });
    await waitForConvergence(context, pruning.revision, timeoutMs);
  } finally {
    if (!desired.prune_unknown_pools) await put(body);
    restore();
  }
}
