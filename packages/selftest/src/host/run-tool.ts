import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Run a tool of the host with an argument array and answer its output. Throws an Error with what it wrote on stderr. */
export async function runTool(command: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(command, [...args], { maxBuffer: 64 * 1_048_576, encoding: 'utf8' });
    return stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    if (code === 'ENOENT') throw new Error(`${command} is missing on this host`);
    throw new Error(`${command} ${args.join(' ')}: ${(stderr ?? String(error)).trim()}`);
  }
}
