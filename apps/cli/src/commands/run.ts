import { randomBytes } from 'node:crypto';
import { CodedError } from '@mvm/protocol';
import { parsePoolId, parseTenantId } from '@mvm/protocol/names';
import { Option } from 'commander';
import type { InstanceAddress } from '../address/address.js';
import { endDryRun, printApplied } from '../apply/print-applied.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { usageError } from '../errors/usage-error.js';
import { parseDuration } from '../format/duration.js';
import { parseDetachKeys } from '../guest/detach-keys.js';
import { addEnvOption, environmentOf } from '../guest/env-option.js';
import { runInGuest } from '../guest/run-in-guest.js';
import { parseCpus, parseMemory, parsePublish, parseRestart } from '../guest/run-options.js';
import { type RunSpec, withoutPool, withRunPool } from '../guest/run-pool.js';
import { addHelp, completeWith } from '../help.js';
import type { Invocation } from '../invocation.js';
import { createLogPrinter } from '../logs/log-printer.js';
import { readLog } from '../logs/read-log.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';

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
        "a program to run in place of the image's own; without one, the image's runs, and its console is followed",
      )
      .requiredOption(
        '--tenant <tenant>',
        'whose instance it is; made with a network of its own if there is none',
      )
      .option('--name <pool>', "the pool's name (default: the image's, and some letters)")
      .option('--rm', 'remove the pool and its instance when the program has ended')
      .addOption(
        new Option(
          '--restart <policy>',
          'no, on-failure, on-failure:<most retries> or always (default: always with -d, else no)',
        ).argParser(parseRestart),
      )
      .option('-d, --detach', "print the instance's address, and leave it running")
      .option('-i, --interactive', 'pass stdin on to the program')
      .option('-t, --tty', 'give the program a terminal')
      .addOption(new Option('-p, --publish <ports>', 'host port:guest port').argParser(parsePublish))
      .addOption(
        new Option('-m, --memory <size>', 'as in 512m or 2g')
          .argParser(parseMemory)
          .default(DEFAULT_MEM_MIB, '256m'),
      )
      .addOption(new Option('--cpus <count>', 'virtual CPUs').argParser(parseCpus).default(1, '1'));
    addEnvOption(command);
    command
      .option('-w, --workdir <directory>', 'directory of the program; not with -d')
      .option('-u, --user <user>', "user, or user:group, in place of the image's")
      .addOption(
        new Option('--timeout <duration>', 'how long the instance may take to start')
          .argParser(parseDuration)
          .default(DEFAULT_TIMEOUT_MS, '2m'),
      );
    addDryRunOption(command);
    completeWith(command, 'image', 'none');
    addHelp(
      command,
      'Adds a pool of one instance to the desired state in force, and waits until it runs. In the foreground it ends with the\nexit code of the program, as docker does. Without --rm the pool stays, for "mvm exec" and "mvm instance start".\n--rm removes nothing of other pools.',
      [
        [
          'mvm run --tenant acme --rm -it app -- /bin/sh',
          'A shell in a microVM of its own, which is gone afterwards',
        ],
        ['mvm run --tenant acme -d -p 8080:80 web', 'A web server, reached through port 8080 of this host'],
        ['mvm run --tenant acme --rm job', "The image of a job, to its end: the exit code is the job's"],
        [
          'mvm run --tenant acme -d --restart on-failure:5 -e MODE=fast worker -- /bin/worker --all',
          'Another program of the image, started again when it fails, five times in a row at most',
        ],
      ],
    );
  },
  async run(context, invocation) {
    const args = invocation.operands(1);
    const [interactive, tty, detach, remove] = ['interactive', 'tty', 'detach', 'rm'].map((name) =>
      invocation.flag(name),
    );
    const spec = runSpecOf(context, invocation, { args, isDetached: detach === true });
    if (detach === true && remove === true)
      throw usageError('-d takes no --rm', 'remove it afterwards: mvm scale …, mvm prune');
    if (invocation.text('workdir') !== undefined && (detach === true || args.length === 0))
      throw usageError('-w needs a program that is run in the foreground', 'mvm run -w /srv … -- /bin/sh');
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
              // The pool has them, and what is run in its guest gets what its own program would.
              env: [],
              cwd: invocation.text('workdir'),
              interactive: interactive === true,
              tty: tty === true,
              detachKeys: parseDetachKeys('ctrl-p,ctrl-q'),
            });
    } finally {
      if (remove === true) await removePool(context, spec);
    }
    if (code !== 0) throw new ReportedFailure(code);
  },
};

/** The program in the foreground is run with streams of its own, in a guest that runs nothing else. */
function programOf(
  context: CliContext,
  invocation: Invocation,
  { args, isDetached }: { readonly args: readonly string[]; readonly isDetached: boolean },
): RunSpec['program'] {
  const entries = environmentOf(invocation.value<string[]>('env') ?? [], context.env);
  const user = invocation.text('user');
  const env = entries.map((entry): [string, string] => {
    const at = entry.indexOf('=');
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  return {
    ...(args.length === 0 ? {} : { command: isDetached ? [...args] : [] }),
    ...(env.length === 0 ? {} : { env: Object.fromEntries(env) }),
    ...(user === undefined ? {} : { user }),
  };
}

function runSpecOf(
  context: CliContext,
  invocation: Invocation,
  what: { readonly args: readonly string[]; readonly isDetached: boolean },
): RunSpec {
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
    program: programOf(context, invocation, what),
    restart:
      invocation.value<NonNullable<RunSpec['restart']>>('restart') ??
      (what.isDetached ? undefined : { policy: 'no' }),
  };
}

/** The pool's instance, once it runs, or has run to its end. */
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
    const running = instances.find(
      ({ status, stop_reason }) =>
        status === 'running' || (status === 'stopped' && stop_reason?.kind === 'exited'),
    );
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

/** What its program prints on its console, until it stops or the caller interrupts. The exit code of its program. */
async function follow(context: CliContext, address: InstanceAddress): Promise<number> {
  const printer = createLogPrinter(context.stdout, false, true);
  await readLog(context, {
    address,
    stream: 'console',
    tailLines: undefined,
    follow: true,
    onBytes: (bytes) => printer.print(bytes),
  });
  printer.end();
  if (context.signal.aborted) return 0;
  const { tenantId: tenant, poolId: pool, instanceId: instance } = address;
  const agentd = await context.agentd();
  const { status, stop_reason } = await agentd.getInstance({ params: { tenant, pool, instance } });
  if (status !== 'stopped' || stop_reason === null) return 0;
  const { kind, guest, message } = stop_reason;
  if (kind === 'requested' && guest === undefined) return 0;
  if (guest?.reason !== 'exited') context.say(message);
  return guest === undefined ? Number(kind !== 'exited') : (guest.exit_code ?? 1);
}

/** Takes the pool out of the desired state and off the host, with its instance, and nothing else. */
async function removePool(context: CliContext, spec: RunSpec): Promise<void> {
  const { tenantId: tenant, poolId: pool } = spec;
  const restore = context.takeSignals(['SIGINT', 'SIGTERM'], () => context.say(`removing ${tenant}/${pool}`));
  try {
    const agentd = await context.agentd();
    // Also after an interrupt, which ends whatever listens to it.
    const { desired } = await agentd.getDesired({});
    if (desired !== null)
      await agentd.putDesired({ body: withoutPool(desired, spec), query: { dry_run: false } });
    await agentd.removePool({ params: { tenant, pool }, query: { wipe_volumes: false } });
  } finally {
    restore();
  }
}
