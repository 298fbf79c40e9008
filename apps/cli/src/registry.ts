import type { CommandModule } from './command.js';

/** One command of the tool, known by name without loading its code. */
export interface CommandEntry {
  /** Words after `mvm`. */
  readonly path: readonly string[];
  readonly summary: string;
  readonly aliases?: readonly string[];
  /** Left out of help, completion and the reference. */
  readonly hidden?: boolean;
  /** Whether it changes anything, be it for a moment: then it takes `--dry-run`, or registry.test.ts says why not. */
  readonly mutates: boolean;
  readonly load: () => Promise<CommandModule>;
}

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

/** Every command, in the order in which help lists them. Only the one that is called gets loaded. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    path: ['apply'],
    summary: 'Make a file the desired state of this host',
    mutates: true,
    load: async () => (await import('./commands/apply.js')).apply,
  },
  {
    path: ['get'],
    summary: 'Print the desired state in force, as apply takes it',
    mutates: false,
    load: async () => (await import('./commands/get.js')).get,
  },
  {
    path: ['diff'],
    summary: 'Compare the desired state in force with a file, field by field',
    mutates: false,
    load: async () => (await import('./commands/diff.js')).diff,
  },
  {
    path: ['scale'],
    summary: "Change a pool's counts",
    mutates: true,
    load: async () => (await import('./commands/scale.js')).scale,
  },
  {
    path: ['prune'],
    summary: 'Destroy stopped instances that no pool needs',
    mutates: true,
    load: async () => (await import('./commands/prune.js')).prune,
  },
  {
    path: ['wait'],
    summary: 'Wait until the host is as desired',
    mutates: false,
    load: async () => (await import('./commands/wait.js')).wait,
  },
  {
    path: ['status'],
    summary: 'Show desired against actual, and what is in the way',
    mutates: false,
    load: async () => (await import('./commands/status.js')).status,
  },
  {
    path: ['tenant', 'list'],
    aliases: ['ls'],
    summary: 'List tenants',
    mutates: false,
    load: async () => (await import('./commands/tenant-list.js')).tenantList,
  },
  {
    path: ['tenant', 'info'],
    summary: "Show a tenant's network, quotas and pools",
    mutates: false,
    load: async () => (await import('./commands/tenant-info.js')).tenantInfo,
  },
  {
    path: ['pool', 'list'],
    aliases: ['ls'],
    summary: 'List pools',
    mutates: false,
    load: async () => (await import('./commands/pool-list.js')).poolList,
  },
  {
    path: ['pool', 'info'],
    summary: "Show a pool's image, resources and counts",
    mutates: false,
    load: async () => (await import('./commands/pool-info.js')).poolInfo,
  },
  {
    path: ['instance', 'list'],
    aliases: ['ls'],
    summary: 'List instances',
    mutates: false,
    load: async () => (await import('./commands/instance-list.js')).instanceList,
  },
  {
    path: ['instance', 'info'],
    summary: "Show an instance's state, network, process and last console lines",
    mutates: false,
    load: async () => (await import('./commands/instance-info.js')).instanceInfo,
  },
  {
    path: ['instance', 'start'],
    summary: 'Start instances',
    mutates: true,
    load: async () => (await import('./commands/instance-start.js')).instanceStart,
  },
  {
    path: ['instance', 'stop'],
    summary: 'Stop instances and keep them stopped',
    mutates: true,
    load: async () => (await import('./commands/instance-stop.js')).instanceStop,
  },
  {
    path: ['instance', 'reboot'],
    summary: 'Restart instances in place, with their disks and addresses',
    mutates: true,
    load: async () => (await import('./commands/instance-reboot.js')).instanceReboot,
  },
  {
    path: ['instance', 'sleep'],
    summary: 'Put instances to sleep: memory to disk, virtual machine ended',
    mutates: true,
    load: async () => (await import('./commands/instance-sleep.js')).instanceSleep,
  },
  {
    path: ['instance', 'wake'],
    summary: 'Wake sleeping instances',
    mutates: true,
    load: async () => (await import('./commands/instance-wake.js')).instanceWake,
  },
  {
    path: ['instance', 'warm'],
    summary: 'Stop the vCPUs of instances and keep their memory',
    mutates: true,
    load: async () => (await import('./commands/instance-warm.js')).instanceWarm,
  },
  {
    path: ['instance', 'resume'],
    summary: 'Resume warm instances',
    mutates: true,
    load: async () => (await import('./commands/instance-resume.js')).instanceResume,
  },
  {
    path: ['instance', 'destroy'],
    aliases: ['rm'],
    summary: 'Destroy instances',
    mutates: true,
    load: async () => (await import('./commands/instance-destroy.js')).instanceDestroy,
  },
  {
    path: ['instance', 'logs'],
    summary: "Print an instance's console",
    mutates: false,
    load: async () => (await import('./commands/instance-logs.js')).instanceLogs,
  },
  {
    path: ['audit', 'log'],
    aliases: ['show'],
    summary: "Show a tenant's audit log",
    mutates: false,
    load: async () => (await import('./commands/audit-log.js')).auditLog,
  },
  {
    path: ['audit', 'verify'],
    summary: 'Verify audit logs',
    mutates: false,
    load: async () => (await import('./commands/audit-verify.js')).auditVerify,
  },
  {
    path: ['secret', 'set'],
    summary: 'Set a secret of a tenant (as root)',
    mutates: true,
    load: async () => (await import('./commands/secret-set.js')).secretSet,
  },
  {
    path: ['secret', 'list'],
    aliases: ['ls'],
    summary: "List the names of a tenant's secrets (as root)",
    mutates: false,
    load: async () => (await import('./commands/secret-list.js')).secretList,
  },
  {
    path: ['secret', 'remove'],
    aliases: ['rm'],
    summary: 'Remove a secret of a tenant (as root)',
    mutates: true,
    load: async () => (await import('./commands/secret-remove.js')).secretRemove,
  },
  {
    path: ['image', 'add'],
    summary: 'Register a guest image (as root)',
    mutates: true,
    load: async () => (await import('./commands/image-add.js')).imageAdd,
  },
  {
    path: ['image', 'import'],
    summary: 'Make a guest image out of an OCI image (as root)',
    mutates: true,
    load: async () => (await import('./commands/image-import.js')).imageImport,
  },
  {
    path: ['image', 'list'],
    aliases: ['ls'],
    summary: 'List registered images',
    mutates: false,
    load: async () => (await import('./commands/image-list.js')).imageList,
  },
  {
    path: ['image', 'remove'],
    aliases: ['rm'],
    summary: 'Remove a guest image (as root)',
    mutates: true,
    load: async () => (await import('./commands/image-remove.js')).imageRemove,
  },
  {
    path: ['image', 'info'],
    summary: 'Show what a registered image is and how it runs (as root)',
    mutates: false,
    load: async () => (await import('./commands/image-info.js')).imageInfo,
  },
  {
    path: ['image', 'prune'],
    summary: 'Remove images and older versions that no pool needs (as root)',
    mutates: true,
    load: async () => (await import('./commands/image-prune.js')).imagePrune,
  },
  {
    path: ['kernel', 'add'],
    summary: 'Add a kernel that imported images boot (as root)',
    mutates: true,
    load: async () => (await import('./commands/kernel-add.js')).kernelAdd,
  },
  {
    path: ['kernel', 'list'],
    aliases: ['ls'],
    summary: 'List kernels (as root)',
    mutates: false,
    load: async () => (await import('./commands/kernel-list.js')).kernelList,
  },
  {
    path: ['kernel', 'remove'],
    aliases: ['rm'],
    summary: 'Remove a kernel (as root)',
    mutates: true,
    load: async () => (await import('./commands/kernel-remove.js')).kernelRemove,
  },
  {
    path: ['net', 'verify'],
    summary: 'Compare the network with what is recorded, and try what must be blocked',
    mutates: true,
    load: async () => (await import('./commands/net-verify.js')).netVerify,
  },
  {
    path: ['net', 'why'],
    summary: 'Say whether and why a guest reaches a destination, and what to do',
    mutates: false,
    load: async () => (await import('./commands/net-why.js')).netWhy,
  },
  {
    path: ['net', 'plan'],
    summary: 'Print the exact ip and nft text that would run',
    mutates: false,
    load: async () => (await import('./commands/net-plan.js')).netPlan,
  },
  {
    path: ['net', 'drops'],
    summary: 'Show why packets of guests were dropped',
    mutates: false,
    load: async () => (await import('./commands/net-drops.js')).netDrops,
  },
  {
    path: ['ping'],
    summary: 'Measure the way to agentd and on to hostd',
    mutates: false,
    load: async () => (await import('./commands/ping.js')).ping,
  },
  {
    path: ['doctor'],
    summary: 'Check this host and say how to fix what is wrong',
    mutates: false,
    load: async () => (await import('./commands/doctor.js')).doctor,
  },
  {
    path: ['selftest'],
    summary: 'Try VMs on this host, or crash hostd at every step of every operation (as root)',
    mutates: true,
    load: async () => (await import('./commands/selftest.js')).selftest,
  },
  {
    path: ['version'],
    summary: 'Show the versions of mvm, agentd and hostd, and whether they match',
    mutates: false,
    load: async () => (await import('./commands/version.js')).version,
  },
  {
    path: ['completion'],
    summary: 'Print a completion script for bash, zsh or fish',
    mutates: false,
    load: async () => (await import('./commands/completion.js')).completion,
  },
  // As users of docker type them.
  {
    path: ['ps'],
    aliases: ['ls'],
    summary: 'Same as "instance list"',
    mutates: false,
    load: async () => (await import('./commands/instance-list.js')).instanceList,
  },
  {
    path: ['logs'],
    summary: 'Same as "instance logs"',
    mutates: false,
    load: async () => (await import('./commands/instance-logs.js')).instanceLogs,
  },
  {
    path: ['stop'],
    summary: 'Same as "instance stop"',
    mutates: true,
    load: async () => (await import('./commands/instance-stop.js')).instanceStop,
  },
  {
    path: ['rm'],
    summary: 'Same as "instance destroy"',
    mutates: true,
    load: async () => (await import('./commands/instance-destroy.js')).instanceDestroy,
  },
];
