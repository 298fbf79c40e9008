import { open } from 'node:fs/promises';

/** How much of a VMM's own words goes into an error, in bytes. */
const LOG_TAIL_BYTES = 1024;

/** What a VMM wrote to a log since `offset`: the last 1 KiB, printable, one line. Empty when it wrote nothing. */
export async function readLogTail(logPath: string, offset: number): Promise<string> {
  try {
    const file = await open(logPath, 'r');
    try {
      const { size } = await file.stat();
      const from = Math.max(offset, size - LOG_TAIL_BYTES);
      const buffer = Buffer.alloc(Math.max(0, size - from));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
      return printable(buffer.toString('utf8', 0, bytesRead));
    } finally {
      await file.close();
    }
  } catch {
    // No logTail is no reason to hide the error that wanted to show them.
    return '';
  }
}

function printable(text: string): string {
  return text
    .split('\n')
    .map((line) =>
      line.replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, '').replace(/^\S*qemu-system-[a-z0-9_]+: /, ''),
    )
    .filter((line) => line !== '')
    .join('; ');
}
