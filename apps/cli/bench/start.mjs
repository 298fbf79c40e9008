/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * What starting `mvm` costs, as a multiple of starting Node with an empty program: CPU time of the processes, user and
 * system, round after round in turn, against an agentd with 20 instances.
 * Options: --rounds 20
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '20' } } });
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const mvm = join(root, 'bin/mvm.js');
const dir = mkdtempSync(join(tmpdir(), 'mvm-start-bench-'));
const socket = join(dir, 'agentd.sock');

const at = '2026-01-01T00:00:00.000Z';
const instances = Array.from({ length: 20 }, (_, index) => ({
  tenant_id: 'acme',
  pool_id: 'workers',
  instance_id: `i-${index.toString(16).padStart(8, '0')}`,
  status: 'running',
  status_since: at,
  role: 'worker',
  net: {
    tap_dev: `tn3i${index + 3}`,
    mac: '02:fc:00:03:00:03',
    guest_ip: `10.240.3.${index + 3}`,
    gateway_ip: '10.240.3.1',
    cidr: '10.240.3.0/24',
  },
  image: null,
  resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 0 },
  pid: 1000 + index,
  created_at: at,
  last_started_at: at,
  last_stopped_at: null,
  stop_reason: null,
  operation: null,
}));
const agentd = createServer((_, answer) => {
  answer.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ instances }));
});
await new Promise((resolve) => agentd.listen(socket, () => resolve(undefined)));

/** @type {{ name: string, args: string[], ms: number[] }[]} */
const sides = [
  { name: 'node', args: ['-e', '0'], ms: [] },
  { name: 'mvm instance list', args: [mvm, 'instance', 'list'], ms: [] },
  { name: 'completion of a command', args: [mvm, '__complete', 'instance', 'l'], ms: [] },
  { name: 'completion of an instance', args: [mvm, '__complete', 'instance', 'info', 'acme/'], ms: [] },
];
try {
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const side of sides) side.ms.push(await cpuOf(side.args));
  }
} finally {
  agentd.close();
  agentd.closeAllConnections();
  rmSync(dir, { recursive: true });
}

const mean = (/** @type {number[]} */ ms) => ms.reduce((sum, value) => sum + value, 0) / ms.length;
const [node, ...commands] = sides.map(({ name, ms }) => ({ name, ms: mean(ms) }));
if (node === undefined) throw new Error('nothing was measured');
const figures = commands.map(({ name, ms }) => ({
  name,
  value: Number((ms / node.ms).toFixed(2)),
  unit: '×',
  target: { max: name === 'completion of a command' ? 3 : 4 },
  note: `${ms.toFixed(0)} ms against ${node.ms.toFixed(0)} ms`,
}));
for (const { name, value, note } of figures) console.log(`${name}: ${value} (${note})`);
mkdirSync(join(root, '.bench-results'), { recursive: true });
writeFileSync(
  join(root, '.bench-results/start.json'),
  JSON.stringify({
    title: 'Starting mvm',
    method:
      'CPU time of the process, user and system, against Node with an empty program, in turn; agentd answers with 20 instances.',
    figures,
  }),
);

/** Milliseconds of CPU of one process, out of the kernel's sum over ended children. @param {string[]} args */
async function cpuOf(args) {
  const before = childrensTicks();
  const status = await new Promise((resolve, reject) => {
    spawn(process.execPath, args, {
      env: { ...process.env, MVM_SOCKET: socket },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
      .on('error', reject)
      .on('close', resolve);
  });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}`);
  return (childrensTicks() - before) * 10;
}

/** Hundredths of a second that ended children used. */
function childrensTicks() {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return Number(fields[13]) + Number(fields[14]);
}
