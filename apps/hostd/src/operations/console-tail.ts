import type { HostPorts } from '../execute/ports.js';
import type { InstanceAddress } from '../state/layout.js';

/** How much of a console goes into records and errors. */
const TAIL_BYTES = 2048;

/** Where the console stands now, so that a later tail shows only what came after. */
export async function consoleMark(
  ports: Pick<HostPorts, 'readLog' | 'layout'>,
  address: InstanceAddress,
): Promise<number> {
  const { nextOffset } = await ports
    .readLog({ path: ports.layout.consoleLog(address), maxBytes: 1 })
    .catch(() => ({ nextOffset: 0 }));
  return nextOffset;
}

/** Printable text: a guest writes what it likes, and this ends up in front of people. */
function printable(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-8').decode(bytes);
  // Terminal sequences first, whole; then whatever control characters are left, but line breaks and tabs.
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
      .replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])/g, '')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '')
      .trim()
  );
}

/** The last lines of an instance's console, at most 2 KiB, after `mark` when one is given; empty when there are none. */
export async function consoleTail(
  ports: Pick<HostPorts, 'readLog' | 'layout'>,
  address: InstanceAddress,
  mark: number | null,
): Promise<string> {
  try {
    const path = ports.layout.consoleLog(address);
    const chunk = await ports.readLog({ path, maxBytes: TAIL_BYTES });
    const skip = mark === null ? 0 : Math.max(0, mark - chunk.offset);
    return printable(chunk.data.subarray(skip));
  } catch {
    // No console is no reason to fail what wanted to show it.
    return '';
  }
}
