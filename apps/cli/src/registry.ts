import { type CommandEntry, changes, reads } from './command-entry.js';
import { HOST_COMMANDS } from './host-commands.js';

/** Groups of commands, by their first word. */
export const GROUPS: Readonly<Record<string, string>> = {
  tenant: 'Look at tenants',
  pool: 'Look at pools of instances',
  instance: 'Look at instances, and start, stop, suspend or destroy them',
  audit: "Read tenants' audit logs, and find out whether they were changed",
  secret: "Manage tenants' secrets on this host (as root)",
  image: "Manage this host's guest images",
  kernel: 'Manage the kernels that imported images boot',
  net: "Look at tenants' networks: what the kernel has, who reaches what, what would run, what is dropped",
};

const OWN_COMMANDS: readonly CommandEntry[] = [
  changes('exec', 'Run a command in a running instance', () => import('./commands/exec.js')),
  changes('run', 'Start an instance of an image, and run a command in it', () => import('./commands/run.js')),
  changes(
    'port-forward',
    'Lead ports of this host to ports of a running instance',
    () => import('./commands/port-forward.js'),
  ),
  changes(
    'cp',
    'Copy files and trees into a running instance, or out of it',
    () => import('./commands/cp.js'),
  ),
  reads('console', 'Follow the serial console of an instance', () => import('./commands/console.js')),
  changes('apply', 'Make a file the desired state of this host', () => import('./commands/apply.js')),
  reads('get', 'Print the desired state in force, as apply takes it', () => import('./commands/get.js')),
  reads(
    'diff',
    'Compare the desired state in force with a file, field by field',
    () => import('./commands/diff.js'),
  ),
  reads('explain', 'Explain the fields of a desired state', () => import('./commands/explain.js')),
  changes('scale', "Change a pool's counts", () => import('./commands/scale.js')),
  changes('edit', 'Edit the desired state in force', () => import('./commands/edit.js')),
  changes(
    'restart',
    'Restart the instances of a pool, one after the other',
    () => import('./commands/restart.js'),
  ),
  changes('delete', 'Delete tenants and pools, with their instances', () => import('./commands/delete.js')),
  changes('prune', 'Destroy stopped instances that no pool needs', () => import('./commands/prune.js')),
  reads('wait', 'Wait until the host is as desired', () => import('./commands/wait.js')),
  reads(
    'status',
    'Show desired against actual, and what is in the way',
    () => import('./commands/status.js'),
  ),
  reads('top', 'Show what running instances use: CPU, memory, network', () => import('./commands/top.js'), {
    aliases: ['stats'],
  }),
  reads('events', 'Show what happened, and follow it', () => import('./commands/events.js')),
  reads(
    'why',
    'Show why an instance is as it is, and what would change that',
    () => import('./commands/why.js'),
  ),
  reads('tenant list', 'List tenants', () => import('./commands/tenant-list.js'), {
    aliases: ['ls'],
  }),
  reads(
    'tenant info',
    "Show a tenant's network, quotas and pools",
    () => import('./commands/tenant-info.js'),
  ),
  reads('pool list', 'List pools', () => import('./commands/pool-list.js'), {
    aliases: ['ls'],
  }),
  reads('pool info', "Show a pool's image, resources and counts", () => import('./commands/pool-info.js')),
  reads('instance list', 'List instances', () => import('./commands/instance-list.js'), { aliases: ['ls'] }),
  reads(
    'instance info',
    "Show an instance's state, network, process and last console lines",
    () => import('./commands/instance-info.js'),
  ),
  changes('instance start', 'Start instances', () => import('./commands/instance-start.js')),
  changes(
    'instance stop',
    'Stop instances and keep them stopped',
    () => import('./commands/instance-stop.js'),
  ),
  changes(
    'instance reboot',
    'Restart instances in place, with their disks and addresses',
    () => import('./commands/instance-reboot.js'),
  ),
  changes(
    'instance sleep',
    'Put instances to sleep: memory to disk, virtual machine ended',
    () => import('./commands/instance-sleep.js'),
  ),
  changes('instance wake', 'Wake sleeping instances', () => import('./commands/instance-wake.js')),
  changes(
    'instance warm',
    'Stop the vCPUs of instances and keep their memory',
    () => import('./commands/instance-warm.js'),
  ),
  changes('instance resume', 'Resume warm instances', () => import('./commands/instance-resume.js')),
  changes('instance destroy', 'Destroy instances', () => import('./commands/instance-destroy.js'), {
    aliases: ['rm'],
  }),
  reads('instance logs', "Print an instance's console", () => import('./commands/instance-logs.js')),
  reads('audit log', "Show a tenant's audit log", () => import('./commands/audit-log.js'), {
    aliases: ['show'],
  }),
  reads('audit verify', 'Verify audit logs', () => import('./commands/audit-verify.js')),
  ...HOST_COMMANDS,
  changes(
    'net verify',
    'Compare the network with what is recorded, and try what must be blocked',
    () => import('./commands/net-verify.js'),
  ),
  reads(
    'net why',
    'Say whether and why a guest reaches a destination, and what to do',
    () => import('./commands/net-why.js'),
  ),
  reads('net plan', 'Print the exact ip and nft text that would run', () => import('./commands/net-plan.js')),
  reads('net drops', 'Show why packets of guests were dropped', () => import('./commands/net-drops.js')),
  reads('ping', 'Measure the way to agentd and on to hostd', () => import('./commands/ping.js')),
  reads('doctor', 'Check this host and say how to fix what is wrong', () => import('./commands/doctor.js')),
  changes(
    'selftest',
    'Try VMs on this host, or crash hostd at every step of every operation (as root)',
    () => import('./commands/selftest.js'),
  ),
  reads(
    'version',
    'Show the versions of mvm, agentd and hostd, and whether they match',
    () => import('./commands/version.js'),
  ),
  reads(
    'completion',
    'Print a completion script for bash, zsh or fish',
    () => import('./commands/completion.js'),
  ),
];

/** Commands as users of docker type them: another name of one of ours. */
const DOCKER_NAMES: Readonly<Record<string, string>> = {
  ps: 'instance list',
  logs: 'instance logs',
  stop: 'instance stop',
  rm: 'instance destroy',
};

function sameAs([name, target]: readonly [string, string]): CommandEntry {
  const entry = OWN_COMMANDS.find(({ path }) => path.join(' ') === target);
  if (entry === undefined) throw new Error(`there is no command ${target}`);
  const { mutates, load } = entry;
  return {
    path: [name],
    summary: `Same as "${target}"`,
    mutates,
    load,
    ...(name === 'ps' ? { aliases: ['ls'] } : {}),
  };
}

/** Every command, in the order in which help lists them. Only the one that is called gets loaded. */
export const COMMANDS: readonly CommandEntry[] = [
  ...OWN_COMMANDS,
  ...Object.entries(DOCKER_NAMES).map(sameAs),
];
