/**
 * A fake VMM with its guest, in one small process: what hostd's tests run thousands of times where QEMU with a
 * real guest would take hours. See driver.ts.
 *
 * It opens its TAP, its disks and its sockets, gives root up, and waits; it counts once it is let run. Its memory is a
 * boot id, a count, and what it last wrote to its data disk. `--execution-log` names a file that outlives it, with one line for
 * everything that must not happen twice.
 *
 * It imports as little as it can: its start is most of what a test waits for.
 */
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import koffi from 'koffi';
import { ioctl, lastErrorName } from '../../src/system/libc.js';

const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const SEEK_END = 2;
const STATE_FD = 3;
const TICK_MS = 20;
const STATE_BYTES = 200_000;
const NOTE_BYTES = 512;

const libc = koffi.load('libc.so.6');
const chroot = libc.func('int chroot(const char *)') as unknown as (path: string) => number;
const lseek = libc.func('int64_t lseek(int, int64_t, int)') as unknown as (
  fd: number,
  offset: number,
  whence: number,
) => number;

function die(why: string): never {
  writeSync(2, `${why}\n`);
  process.exit(1);
}

// Whatever goes wrong is one line in the log: a failed launch is told with its end.
process.on('uncaughtException', (error) => die(error.message));

interface Options {
  readonly values: ReadonlyMap<string, string>;
  readonly incoming: boolean;
}

function readOptions(args: readonly string[]): Options {
  const values = new Map<string, string>();
  let incoming = false;
  for (let at = 0; at < args.length; at += 1) {
    const name = args[at] as string;
    if (name === '--incoming') {
      incoming = true;
      continue;
    }
    if (!/^--(vm|control|agent|console|root|uid|tap|execution-log|disk|drain-ms|mac|vcpus|mem)$/.test(name))
      die(`unknown option ${name}`);
    at += 1;
    values.set(name.slice(2), args[at] ?? die(`${name} needs a value`));
  }
  return { values, incoming };
}

const { values, incoming } = readOptions(process.argv.slice(2));
const option = (name: string): string => values.get(name) ?? die(`--${name} is missing`);
const vmId = option('vm');
const tapName = option('tap');
const uid = Number(option('uid'));
const root = option('root');
const drainTicks = Math.floor(Number(values.get('drain-ms') ?? 0) / TICK_MS);

for (const signal of ['SIGHUP', 'SIGINT'] as const) process.on(signal, () => {});

const consoleFd = openSync(option('console'), 'a');
const logFd = openSync(option('execution-log'), 'a');
const tunFd = openSync('/dev/net/tun', 'r+');
const diskPath = values.get('disk');
const diskFd = diskPath === undefined ? null : openSync(diskPath, 'r+');
let boot = readFileSync('/proc/sys/kernel/random/uuid', 'latin1').trim();

/** Bound and listening on return; nothing is accepted before this file has run to its end. */
function listen(path: string, accept: (socket: Socket) => void): Server {
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    // Whoever hangs up in the midst of an answer is gone; 'close' follows.
    socket.on('error', () => {});
    accept(socket);
  });
  server.listen({ path, backlog: 8 });
  if (!server.listening) die(`cannot listen on ${path}`);
  return server;
}
listen(option('control'), acceptControl);
listen(option('agent'), acceptAgent);

// Nothing can be loaded from here on.
process.chdir(root);
if (chroot('.') !== 0) die(`cannot change root to ${root}: ${lastErrorName()}`);
process.setgroups?.([uid]);
process.setgid?.(uid);
process.setuid?.(uid);
if (process.getuid?.() !== uid || process.geteuid?.() !== uid) die(`cannot become user ${uid}`);

// Without root, only the TAP's owner gets it, and one that is missing is not made.
const request = Buffer.alloc(40);
request.write(tapName, 0, 15, 'latin1');
request.writeUInt16LE(IFF_TAP | IFF_NO_PI, 16);
if (ioctl(tunFd, TUNSETIFF, request) < 0) die(`cannot attach to ${tapName}: ${lastErrorName()}`);

let count = 0;
let ticks = 0;
let ticking: NodeJS.Timeout | null = null;
let ran = false;
let lineage = boot;
let saved = '';
let saves = 0;
let note = readNote();
if (incoming) restore();

function logExecution(...words: readonly string[]): void {
  writeSync(logFd, `${words.join(' ')}\n`);
}

function readNote(): string {
  if (diskFd === null) return '';
  const bytes = Buffer.alloc(NOTE_BYTES);
  lseek(diskFd, -NOTE_BYTES, SEEK_END);
  const length = readSync(diskFd, bytes);
  return /^(note [^\n]*)\n/.exec(bytes.toString('latin1', 0, length))?.[1] ?? '';
}

function writeNote(): void {
  if (diskFd === null) return;
  note = `note ${boot} ${count}`;
  lseek(diskFd, -NOTE_BYTES, SEEK_END);
  writeSync(diskFd, Buffer.from(`${note}\n`.padEnd(NOTE_BYTES), 'latin1'));
}

function restore(): void {
  // The driver's end of it is closed after the last byte.
  const text = readFileSync(STATE_FD, 'latin1');
  closeSync(STATE_FD);
  const match = /^STANDIN boot=(\S+) count=(\d+) saved=(\S+) note=([^\n]*)\n\.*END\n$/.exec(text);
  if (match === null || text.length !== STATE_BYTES) die('the state to restore is not whole');
  [, boot, , lineage, note] = match as unknown as [string, string, string, string, string];
  count = Number(match[2]);
  if (readNote() !== note) logExecution('torn', vmId, lineage);
}

/** Agent connections. A guest that does not run reads nothing. */
const agents = new Set<Socket>();
/** Agent answers that are due. */
let timers: { readonly due: number; readonly socket: Socket; readonly text: string }[] = [];

function tick(): void {
  ticks += 1;
  count += 1;
  if (count % 2 === 1) writeNote();
  if (count % 10 === 0) writeSync(consoleFd, `alive count=${count}\n`);
  for (const { due, socket, text } of timers) if (due <= ticks) socket.write(frame(text));
  timers = timers.filter(({ due }) => due > ticks);
}

function run(): void {
  if (ticking !== null) return;
  if (!ran) logExecution('run', vmId, lineage);
  else if (saved !== '') logExecution('went-on', vmId, saved);
  if (!ran && !incoming) writeSync(consoleFd, `mvm-guest ready vm=${vmId} boot_id=${boot}\n`);
  ran = true;
  saved = '';
  ticking = setInterval(tick, TICK_MS);
  for (const socket of agents) socket.resume();
}

function pause(): void {
  if (ticking === null) return;
  clearInterval(ticking);
  ticking = null;
  for (const socket of agents) socket.pause();
}

function save(): string {
  if (ticking !== null) return 'error it runs\n';
  // A state that was restored and never ran is the one that it was restored from: the same instant.
  if (ran && saved === '') {
    saves += 1;
    saved = `${boot}/${process.pid}.${saves}`;
    logExecution('save', vmId, saved);
  }
  const head = `STANDIN boot=${boot} count=${count} saved=${saved === '' ? lineage : saved} note=${note}\n`;
  return `state ${STATE_BYTES}\n${head.padEnd(STATE_BYTES - 4, '.')}END\n`;
}

function command(line: string): string {
  switch (line) {
    case 'resume':
      run();
      return 'ok\n';
    case 'pause':
      pause();
      return 'ok\n';
    case 'power-down':
      // The guest's last words; one that does not run hears nothing.
      if (ticking !== null) setTimeout(() => process.exit(0), TICK_MS);
      return 'ok\n';
    case 'save':
      return save();
    case 'query':
      return `state ${ticking === null ? 'paused' : 'running'} boot=${boot} count=${count}\n`;
    default:
      return 'error unknown command\n';
  }
}

function acceptControl(socket: Socket): void {
  let text = '';
  socket.on('data', (piece) => {
    const lines = (text + piece.toString('latin1')).split('\n');
    text = lines.pop() as string;
    for (const line of lines) socket.write(command(line), 'latin1');
  });
  socket.resume();
}

function frame(text: string): Buffer {
  const bytes = Buffer.alloc(4 + text.length);
  bytes.writeUInt32BE(text.length);
  bytes.write(text, 4, 'latin1');
  return bytes;
}

function answer(socket: Socket, text: string): void {
  if (text.startsWith('{"SleepPrep":')) {
    // Somebody who grants it an hour wants a guest that is still draining when the next request comes.
    const due = text.includes('"drain_timeout_secs":3600') ? Infinity : ticks + drainTicks;
    timers.push({ due, socket, text: '{"SleepPrepAck":{"success":true,"detail":null}}' });
  } else if (text === '"Ping"') socket.write(frame('"Pong"'));
  else if (text === '"Wake"') {
    writeSync(consoleFd, 'mvm-guest awake\n');
    socket.write(frame('{"WakeAck":{"success":true}}'));
  } else if (text.startsWith('{"Resync":')) socket.write(frame('{"ResyncAck":{"success":true}}'));
  else socket.write(frame('{"Error":{"message":"unknown request"}}'));
}

function acceptAgent(socket: Socket): void {
  let bytes: Buffer = Buffer.alloc(0);
  agents.add(socket);
  socket.on('close', () => {
    agents.delete(socket);
    timers = timers.filter((timer) => timer.socket !== socket);
  });
  socket.on('data', (piece) => {
    bytes = Buffer.concat([bytes, piece]);
    while (bytes.length >= 4) {
      const end = 4 + bytes.readUInt32BE();
      if (bytes.length < end) break;
      const text = bytes.toString('latin1', 4, end);
      bytes = bytes.subarray(end);
      answer(socket, text);
    }
  });
  if (ticking !== null) socket.resume();
}
