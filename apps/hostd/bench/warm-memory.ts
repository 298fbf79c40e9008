import { execFileSync } from 'node:child_process';

/** More than most guests of the benches have. */
const MIB = 320;

/**
 * Touches and frees as much memory as a guest has, as QEMU takes it: in huge pages. Call it right before each side's
 * turn. On a virtual machine whose hypervisor takes free memory back, huge pages that have been free for some seconds cost
 * many times what they do when just freed (200 MiB: over 300 ms against 10 ms), so without this the ratio says which side
 * got which. Small pages (dd, a buffer) do not do: what they leave is not what huge pages are taken from next.
 */
export function warmMemory(mib: number = MIB): void {
  execFileSync(
    'qemu-system-x86_64',
    [
      ...['-M', 'microvm', '-accel', 'tcg', '-m', `${mib}M`, '-mem-prealloc', '-S'],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-monitor', 'stdio'],
    ],
    { input: 'quit\n', stdio: ['pipe', 'ignore', 'inherit'] },
  );
}
