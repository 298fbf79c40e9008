import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { addDistributionKernel, kernelsDir } from '@mvm/guest-boot';
import { CodedError, STATE_DIR } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { runChecks } from '../doctor/check.js';
import { hostChecks } from '../doctor/host-checks.js';
import { createHostProbe, type HostProbe } from '../doctor/host-probe.js';
import { toolChecks } from '../doctor/tool-checks.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { planSetup, type SetupStep } from '../setup/plan-setup.js';
import { hasSystemd, readSetupFacts } from '../setup/read-facts.js';

/** How long one command of the host may take; the first start of hostd is the longest. */
const COMMAND_TIMEOUT_MS = 300_000;
const DAEMONS_TIMEOUT_MS = 60_000;

const NEXT = `Next:
  sudo mvm image import <source>    an OCI image: mvm image import --help
  mvm apply -f state.yaml --wait    what should run; an example: /usr/share/doc/mvm/examples/two-tenants.yaml
  mvm instance list
  mvm doctor                        when something does not work
`;

/** `mvm setup`. */
export const setup: CommandModule = {
  formats: [],
  configure(command) {
    command
      .option('--operator <user>', 'also let this user use mvm without root (repeatable)', collect)
      .option('--no-kernel', 'do not download a kernel for guests');
    addDryRunOption(command);
    completeWith(command);
    addHelp(
      command,
      "Run it once after the installation, as root. It checks the host, creates the user mvm, starts the daemons now and at\nboot, and downloads the distribution's kernel for guests. What is done already is left as it is, so you can repeat it.",
      [
        ['sudo mvm setup --dry-run', 'What it would do'],
        ['sudo mvm setup --operator alice', 'Set up, and let alice use mvm'],
      ],
    );
  },
  async run(context, invocation) {
    const host = createHostProbe(context.env);
    const dryRun = isDryRun(invocation);
    if (!dryRun && host.uid !== 0) {
      throw new CodedError({
        code: 'permission_denied',
        reason: 'setup.not_root',
        message: 'mvm setup changes this host: it needs root',
        hint: 'sudo mvm setup; with --dry-run anyone can see what it would do',
      });
    }
    await checkHost(context, host);
    const operators = invocation.value<string[]>('operator') ?? [];
    const facts = await readSetupFacts(host, { stateDir: STATE_DIR, operators });
    const steps = planSetup(facts, { kernel: invocation.flag('kernel') });
    for (const step of steps) {
      context.stdout.write(`${step.name.padEnd(12)} ${step.does}\n`);
      if (!dryRun) await carryOut(context, step);
    }
    if (steps.length === 0) context.stdout.write('everything is set up already\n');
    if (dryRun) return;
    await waitForDaemons(context);
    context.stdout.write('daemons      running\n');
    context.say(`\n${NEXT}`);
  },
};

/** Throws what must be mended first; a warning is printed. */
async function checkHost(context: CliContext, host: HostProbe): Promise<void> {
  const results = await runChecks([...hostChecks(), ...toolChecks], host);
  for (const { check, detail, verdict } of results)
    if (verdict === 'warn') context.say(`warning: ${check}: ${detail}`);
  const failed = results.filter(({ verdict }) => verdict === 'fail');
  if (!(await hasSystemd(host))) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'setup.no_systemd',
      message: 'this host does not run systemd, and mvm setup installs units',
      hint: 'Start the daemons yourself: see "Daemons, without systemd" in /usr/share/doc/mvm/install.md',
    });
  }
  const [first] = failed;
  if (first === undefined) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'setup.host_not_ready',
    message: failed.map(({ check, detail }) => `${check}: ${detail}`).join('; '),
    hint: failed.map(({ fix }) => fix).join('; '),
  });
}

async function carryOut(context: CliContext, step: SetupStep): Promise<void> {
  if (step.command === 'add-kernel') {
    const kernel = await addDistributionKernel(kernelsDir(STATE_DIR), (what) => context.say(what));
    context.say(`${kernel.name} is the kernel of images that are imported`);
    return;
  }
  const [program, ...args] = step.command;
  try {
    await promisify(execFile)(program, args, { timeout: COMMAND_TIMEOUT_MS, signal: context.signal });
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'setup.step_failed',
      message: `${step.name}: ${step.command.join(' ')}: ${stderr.trim() || message}`,
      hint: 'Mend that, and run mvm setup again: what is done already is left as it is. Logs: journalctl -u mvm-hostd -u mvm-agentd',
      cause: error,
    });
  }
}

/** Until agentd answers and reaches hostd. */
async function waitForDaemons(context: CliContext): Promise<void> {
  const agentd = await context.agentd();
  const until = context.monotonicMs() + DAEMONS_TIMEOUT_MS;
  for (;;) {
    try {
      const { hostd } = await agentd.getVersion({}, { signal: context.signal, timeoutMs: 5000 });
      if (hostd !== null) return;
    } catch (error) {
      if (context.monotonicMs() >= until) throw error;
    }
    if (context.monotonicMs() >= until) {
      throw new CodedError({
        code: 'deadline_exceeded',
        reason: 'setup.daemons_not_ready',
        message: `mvm-agentd does not reach mvm-hostd within ${DAEMONS_TIMEOUT_MS / 1000} s`,
        hint: 'journalctl -u mvm-hostd -u mvm-agentd; mvm doctor',
      });
    }
    await context.sleep(500);
  }
}

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}
