import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { removeCgroups } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';
import type { InsideOptions, SelftestEvent, SelftestOptions } from '../events.js';
import { runTool } from '../host/run-tool.js';

const NAMESPACES = [
  '--net',
  '--mount',
  '--propagation',
  'private',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
];

/**
 * Run a self-test in namespaces of its own (network, mounts, processes), with a directory and cgroups that nothing else
 * has. Events are given to `onEvent` as they come, the last one is `end`. Whatever happens, also when `signal` is aborted,
 * every process of it is ended and nothing of it is left when this resolves or rejects. Throws `permission_denied`
 * `selftest.not_root`, `failed_precondition` `selftest.no_namespaces`, `internal` `selftest.died`, and the signal's reason.
 */
export async function launchSelftest(
  options: SelftestOptions,
  onEvent: (event: SelftestEvent) => void,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  await requireMeans();
  signal.throwIfAborted();
  const dir = await mkdtemp('/tmp/mvmst-');
  const cgroupParent = `mvmst-${dir.slice(-6)}`;
  try {
    await chmod(dir, 0o755);
    await runInside({ ...options, dir, cgroupParent, vmUidBase: randomUidBase() }, onEvent, signal);
  } finally {
    await removeCgroups(cgroupParent);
    await removeDirectory(dir);
  }
}

/** User ids for VMs beside those of the host's own hostd, which begin at 1 900 000 000 unless configured otherwise. */
function randomUidBase(): number {
  return 100_000_000 + randomInt(1_700) * 1_048_576;
}

/** Throws `permission_denied`, reason `selftest.not_root`, for anybody but root. */
export function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new CodedError({
    code: 'permission_denied',
    reason: 'selftest.not_root',
    message: 'the self-test runs a hostd of its own, and needs root',
    hint: 'Run it with sudo.',
  });
}

async function requireMeans(): Promise<void> {
  requireRoot();
  try {
    await runTool('unshare', [...NAMESPACES, '--', 'true']);
  } catch (cause) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'selftest.no_namespaces',
      message: `namespaces cannot be made here: ${cause instanceof Error ? cause.message : cause}`,
      hint: 'Run it on the host itself, or in a container that has CAP_SYS_ADMIN.',
      cause,
    });
  }
}

async function runInside(
  options: InsideOptions,
  onEvent: (event: SelftestEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const program = fileURLToPath(new URL('../../bin/inside.js', import.meta.url));
  // A shell as the first process of its namespace: VMMs whose hostd has died are reaped by it.
  const command = ['sh', '-c', '"$0" "$1"; exit $?', process.execPath, program];
  const child = spawn('unshare', [...NAMESPACES, '--', ...command], {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: '/',
    // Ctrl-C in a terminal goes to the whole group: what ends the test, and when, is decided here.
    detached: true,
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    complaint = (complaint + chunk).slice(-8192);
  });
  // The other end may be gone before it has read.
  child.stdin.on('error', () => {});
  child.stdin.write(`${JSON.stringify(options)}\n`);
  let ended = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line) as SelftestEvent;
    ended ||= event.type === 'end';
    onEvent(event);
  });
  // The death of unshare ends the first process of the namespace (--kill-child), and that ends all others in it.
  const abort = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', abort);
  const how = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, by) => resolve(by ?? `status ${code}`));
  });
  signal.removeEventListener('abort', abort);
  signal.throwIfAborted();
  if (ended) return;
  throw new CodedError({
    code: 'internal',
    reason: 'selftest.died',
    message: `the self-test ended with ${how} before it was done: ${complaint.trim() || 'it said nothing'}`,
    hint: 'Repeat it; when it happens again, report what it says.',
  });
}

/** The directory, once the kernel has released the mounts below it. */
async function removeDirectory(dir: string): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await rm(dir, { recursive: true, force: true });
      return;
    } catch (error) {
      if (tries >= 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
