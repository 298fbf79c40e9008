import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/mvm.js', import.meta.url));

export interface TerminalOptions {
  readonly socket: string;
  /** Text that is waited for before `answer` and Enter are typed. */
  readonly answerTo?: string;
  readonly answer?: string;
}

/** Runs `mvm` on a terminal of its own, which script(1) makes; `output` is all that the terminal was sent. */
export function onTerminal(
  args: readonly string[],
  { socket, answerTo, answer }: TerminalOptions,
): Promise<{ code: number | null; output: string }> {
  const command = [process.execPath, BIN, ...args].map((word) => `'${word}'`).join(' ');
  const env = { PATH: process.env.PATH, MVM_SOCKET: socket, TERM: 'xterm', NO_COLOR: '1', SHELL: '/bin/sh' };
  const child = spawn('script', ['-qec', command, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  let answered = answer === undefined;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (answered || answerTo === undefined || !output.includes(answerTo)) return;
    answered = true;
    child.stdin.write(`${answer}\n`);
  });
  child.stdin.on('error', () => {});
  if (answered) child.stdin.end();
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    // The terminal's line discipline puts a carriage return before each line feed.
    child.once('close', (code) => resolve({ code, output: output.replaceAll(/\r+\n/g, '\n') }));
  });
}
