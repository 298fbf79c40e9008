import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpuFlags } from '../accelerator.js';

/**
 * Frequency of this host's time stamp counter in kHz, or null when it is not known with certainty.
 *
 * An emulated guest sees the host's counter, and measures its frequency in its first milliseconds by counting against
 * another clock. On a busy host that measurement fails now and then, and the microvm machine, which has no third clock,
 * then hangs; telling the guest the frequency spares it the measurement.
 */
export async function hostTscKhz(): Promise<number | null> {
  if (process.arch !== 'x64') return null;
  const cpuInfo = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  return parseTscKhz(cpuInfo, existsSync('/sys/devices/system/cpu/cpu0/cpufreq'));
}

/**
 * The decision of `hostTscKhz`. `cpu MHz` is the counter's frequency when nothing scales the CPU's frequency and the counter
 * is constant, as the CPU says or as it is in a virtual machine, which may not pass that flag on. Pure.
 */
export function parseTscKhz(cpuInfo: string, hasFrequencyScaling: boolean): number | null {
  const flags = cpuFlags(cpuInfo);
  if (hasFrequencyScaling || !(flags.has('constant_tsc') || flags.has('hypervisor'))) return null;
  const mhz = /^cpu MHz\s*:\s*(\d+\.\d{3})$/m.exec(cpuInfo)?.[1];
  const khz = mhz === undefined ? 0 : Math.round(Number(mhz) * 1000);
  return khz >= 100_000 && khz <= 10_000_000 ? khz : null;
}
