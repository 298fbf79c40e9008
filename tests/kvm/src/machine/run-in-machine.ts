/**
 * An emulated machine with nested virtualisation, so that KVM works in it where this machine has none.
 *
 * INVARIANTS
 * - It sees this host's files and cannot change one outside of the exchange directory; it has no network.
 * - QEMU ends with the job, at the time limit, or with this process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from '@mvm/guest-boot';
import { guestFile, type MachineFiles } from './build-machine.js';

/** A CPU with SVM. Firecracker starts no guest without XSAVE, and signals fail in its guests without AVX. */
const CPU = 'EPYC,+svm,+npt';
const DISK_BYTES = 16 * 2 ** 30;

export interface MachineOptions {
  readonly memoryMib: number;
  readonly vcpus: number;
  /** After it QEMU is killed. */
  readonly timeoutMs: number;
  /** Gets each piece of the console as it comes. */
  readonly onConsole: (text: string) => void;
}

/**
 * Boots the machine and runs the shell script `job` of the exchange directory in it, as root, with that directory's path
 * in the machine as its argument. Resolves with the script's exit status. Throws when the machine ends without one, or
 * does not end in time.
 */
export async function runInMachine(
  files: MachineFiles,
  exchange: string,
  options: MachineOptions,
): Promise<number> {
  const disk = join(exchange, '.disk');
  await runTool('mkfs.ext4', ['-q', '-F', '-m', '0', '-O', '^has_journal', disk, `${DISK_BYTES / 1024}k`]);
  const statusPath = join(exchange, 'status');
  await rm(statusPath, { force: true });
  const qemu = spawn('qemu-system-x86_64', renderArguments(files, exchange, disk, options, await tscKhz()), {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = (): void => void qemu.kill('SIGKILL');
  process.once('exit', end);
  const timer = setTimeout(end, options.timeoutMs);
  try {
    let errors = '';
    qemu.stdout
      .setEncoding('utf8')
      .on('data', (text: string) => options.onConsole(text.replaceAll('\r', '')));
    // Mostly warnings about features that are not emulated.
    qemu.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = `${errors}${text}`.slice(-2000);
    });
    const how = await exitOf(qemu);
    const status = await readFile(statusPath, 'utf8').catch(() => '');
    if (/^\d+\n$/.test(status)) return Number(status);
    throw new Error(
      `the KVM machine ended (${how}) before its job did, within ${options.timeoutMs} ms\n${errors}`,
    );
  } finally {
    clearTimeout(timer);
    process.removeListener('exit', end);
    await rm(disk, { force: true });
  }
}

/** The directory of this path on the host, as the machine's own. */
const EXCHANGE_IN_MACHINE = '/mnt/exchange';

function renderArguments(
  { kernel, initrd, modules }: MachineFiles,
  exchange: string,
  disk: string,
  { memoryMib, vcpus }: MachineOptions,
  khz: number | null,
): string[] {
  const append = [
    ...['console=ttyS0', 'panic=-1', 'quiet', 'loglevel=3', 'tsc=reliable', 'mitigations=off'],
    ...['random.trust_cpu=on', 'cryptomgr.notests', ...(khz === null ? [] : [`tsc_early_khz=${khz}`])],
    ...[`mvm.start=${guestFile('start')}`, `mvm.modules=${modules}`, `mvm.job=${EXCHANGE_IN_MACHINE}/job`],
  ];
  return [
    ...['-M', 'pc,usb=off', '-accel', 'tcg,thread=multi,tb-size=1024', '-cpu', CPU],
    ...['-smp', String(vcpus), '-m', `${memoryMib}M`],
    ...[
      '-nodefaults',
      '-no-user-config',
      '-display',
      'none',
      '-no-reboot',
      '-serial',
      'stdio',
      '-rtc',
      'base=utc',
    ],
    ...['-kernel', kernel, '-initrd', initrd, '-append', append.join(' ')],
    ...[
      '-virtfs',
      'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap',
      '-virtfs',
      `local,path=${exchange},mount_tag=exchange,security_model=none`,
    ],
    ...['-drive', `file=${disk},format=raw,if=virtio,cache=unsafe`, '-device', 'virtio-rng-pci'],
  ];
}

/**
 * Frequency of this host's time stamp counter, which the machine sees; null when it cannot be told. Measured in the machine
 * on a busy host it is wrong by any factor, and so is the machine's clock. hostd does the same for its emulated guests.
 */
async function tscKhz(): Promise<number | null> {
  const cpuInfo = await readFile('/proc/cpuinfo', 'utf8');
  if (!/ constant_tsc( |$)/m.test(cpuInfo) || existsSync('/sys/devices/system/cpu/cpu0/cpufreq')) return null;
  const mhz = /^cpu MHz\s*:\s*(\d+\.\d{3})$/m.exec(cpuInfo)?.[1];
  return mhz === undefined ? null : Math.round(Number(mhz) * 1000);
}

async function exitOf(child: ChildProcess): Promise<string> {
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return signal ?? `status ${code}`;
}
