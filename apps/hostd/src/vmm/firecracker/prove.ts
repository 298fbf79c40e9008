import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@mvm/protocol';
import { z } from 'zod';
import { killProcess } from '../process/kill-process.js';
import { launchError } from '../process/launch-error.js';
import { watchLaunched } from '../process/launched.js';
import { isAlive, readHostBootId } from '../process/process-identity.js';
import type { VmSpec } from '../vmm.js';
import { createApi } from './api.js';
import { admitUser, makeJailBase, throughJail } from './jail.js';
import { readyVersion } from './launch.js';
import { apiSocketPath, JAIL } from './machine.js';
import type { Programs } from './program.js';
import { spawnJailer } from './spawn.js';
import { renderTinyGuest, TINY_GUEST_LINE } from './tiny-guest.js';

const RUNS_WITHIN_MS = 20_000;
const LOOK_AGAIN_MS = 10;
const MEM_MIB = 32;

/** That a guest ran, in words; or why none does. */
export type GuestProof = { readonly evidence: string } | { readonly problem: CodedError };

export interface ProofOptions {
  readonly programs: () => Promise<Programs>;
  /** Root's own, made when it is missing; its path is as short as that of a VM's sockets. */
  readonly directory: string;
  readonly uid: number;
}

const rememberedSchema = z.object({ boot_id: z.string(), firecracker: z.string(), jailer: z.string() });

/**
 * Whether a guest really runs in this Firecracker on this host: a tiny one has to write a line and end. A success is
 * remembered until the next boot, or another program; a failure is not. Throws what `programs` does, and
 * `vmm.launch_failed`.
 */
export async function proveFirecracker({ programs, directory, uid }: ProofOptions): Promise<GuestProof> {
  const { firecracker, jailer } = await programs();
  const fact = { boot_id: await readHostBootId(), firecracker: firecracker.sha256, jailer: jailer.sha256 };
  const remembered = join(directory, 'proof.json');
  const evidence = `a guest ran in Firecracker ${firecracker.version} since this host's boot`;
  if (JSON.stringify(await readRemembered(remembered)) === JSON.stringify(fact)) return { evidence };
  await endLeftover(directory);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const kernel = join(directory, 'tiny-guest');
  await writeFile(kernel, renderTinyGuest(), { mode: 0o444 });
  const spec: VmSpec = {
    vmId: 'proof',
    vcpus: 1,
    memMib: MEM_MIB,
    kernelPath: kernel,
    initrdPath: null,
    kernelArgs: '',
    drives: [],
    net: { tapName: '', mac: '' },
    uid,
    gid: uid,
    socketDir: directory,
    consolePath: join(directory, 'console.log'),
    vmmLogPath: join(directory, 'vmm.log'),
    accelerator: 'kvm',
  };
  const problem = await runTinyGuest(spec, { firecracker, jailer });
  if (problem !== null) return { problem };
  await writeFile(remembered, JSON.stringify(fact), { mode: 0o600 });
  return { evidence };
}

async function runTinyGuest(spec: VmSpec, programs: Programs): Promise<CodedError | null> {
  const files = [{ name: JAIL.kernel, source: spec.kernelPath, readOnly: true }];
  for (const file of files) await admitUser(file, spec);
  await makeJailBase(spec);
  const reason = 'vmm.launch_failed';
  const { child } = await spawnJailer({ ...programs, logLimitBytes: 0, spec, files, reason });
  const launched = await watchLaunched(child, 'Firecracker');
  const { pid, startTimeTicks } = launched;
  const said = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
  const fail = async (what: string, cause?: unknown): Promise<CodedError> => {
    const words = `${await said(spec.vmmLogPath)} ${await said(spec.consolePath)}`
      .replaceAll(/\s+/g, ' ')
      .trim();
    return launchError({ vmId: spec.vmId, what, words, reason, cause });
  };
  try {
    await writeFile(leftoverPath(spec.socketDir), JSON.stringify({ pid, startTimeTicks }));
    const api = createApi(throughJail(pid, apiSocketPath(spec)));
    await readyVersion(api, launched, fail);
    const { memMib, vcpus } = spec;
    await api.call({
      method: 'PUT',
      path: '/machine-config',
      body: { vcpu_count: vcpus, mem_size_mib: memMib },
    });
    await api.call({
      method: 'PUT',
      path: '/boot-source',
      body: { kernel_image_path: JAIL.kernel, boot_args: 'console=ttyS0' },
    });
    try {
      await api.call({ method: 'PUT', path: '/actions', body: { action_type: 'InstanceStart' } });
    } catch (cause) {
      // It may have ended before it could answer.
      if (!(await said(spec.consolePath)).includes(TINY_GUEST_LINE.trim()))
        return kvmUnusable('Firecracker cannot start a guest', cause);
    }
    const deadline = performance.now() + RUNS_WITHIN_MS;
    while (!(await said(spec.consolePath)).includes(TINY_GUEST_LINE.trim())) {
      if (performance.now() > deadline)
        return kvmUnusable(`its guest ran no instruction within ${RUNS_WITHIN_MS / 1000} s`);
      await sleep(LOOK_AGAIN_MS);
    }
    return null;
  } finally {
    if (startTimeTicks !== null) await killProcess({ pid, startTimeTicks });
    await launched.exit;
  }
}

function kvmUnusable(why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.kvm_unusable',
    message: `KVM of this host does not run guests: ${why}`,
    hint: 'Use a host with hardware virtualisation (in a VM: nested), then restart hostd; or set vmm to "qemu".',
    cause,
  });
}

async function readRemembered(path: string): Promise<unknown> {
  try {
    return rememberedSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null;
  }
}

const leftoverPath = (directory: string): string => join(directory, 'process.json');
const leftoverSchema = z.object({ pid: z.int().min(2), startTimeTicks: z.string() });

/** Ends the proof of a hostd that was killed in the midst of it. */
async function endLeftover(directory: string): Promise<void> {
  const text = await readFile(leftoverPath(directory), 'utf8').catch(() => null);
  const leftover = text === null ? null : leftoverSchema.safeParse(parseJson(text)).data;
  if (leftover != null && (await isAlive(leftover))) await killProcess(leftover);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
