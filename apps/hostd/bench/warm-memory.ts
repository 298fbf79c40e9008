import { execFileSync } from 'node:child_process';

/**
 * Touches and frees as much memory as a guest of the benches has. Call it right before each side's turn. On a virtual
 * machine whose hypervisor takes free memory back, memory that has been free for a second costs many times what memory
 * just freed does (200 MiB: 10 ms against up to 350 ms), so without this the side pays that begins later after the last
 * VM's end.
 */
export function warmMemory(): void {
  execFileSync('dd', ['if=/dev/zero', 'of=/dev/null', 'bs=320M', 'count=1'], { stdio: 'ignore' });
}
