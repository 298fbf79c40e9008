import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** TCP port on which the listener counts what comes. */
export const COUNTING_PORT = 8030;

/** A program on the internet that takes in what guests send it. */
export interface Listener {
  /** TCP connections, and bytes of all of them, since it was started. */
  readonly connections: number;
  readonly bytes: number;
  close(): void;
}

const PROGRAM = `
  const seen = { connections: 0, bytes: 0 };
  const tell = () => console.log(JSON.stringify(seen));
  require('node:net').createServer((peer) => {
    seen.connections += 1;
    peer.on('error', () => {}).on('data', (data) => { seen.bytes += data.length; tell(); });
  }).listen(${COUNTING_PORT}, '0.0.0.0', tell);
`;

/** Starts it in the internet of `buildOutside`. */
export async function listenOutside(): Promise<Listener> {
  const args = ['netns', 'exec', 'internet', process.execPath, '-e', PROGRAM];
  const child = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let seen = { connections: 0, bytes: 0 };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    // The last whole line; lines are short, and written at once.
    const last = text.trimEnd().split('\n').at(-1);
    if (last !== undefined) seen = JSON.parse(last);
  });
  await once(child.stdout, 'data');
  return {
    get connections() {
      return seen.connections;
    },
    get bytes() {
      return seen.bytes;
    },
    close: () => {
      child.kill();
    },
  };
}
