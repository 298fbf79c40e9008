import { MAX_SOCKET_PATH_BYTES } from '@mvm/framing';
import { LOG_FORMATS } from '@mvm/node-host';
import { HOSTD_SOCKET_PATH, STATE_DIR } from '@mvm/protocol';
import { DEFAULT_CLUSTER_CIDR, parseIpv4Cidr } from '@mvm/protocol/names';
import type { SettingsTable, SettingValues } from '@mvm/settings';
import { z } from 'zod';

const absolutePath = z.string().regex(/^\/[^\0]*$/, 'must be an absolute path');
const cidr = z.string().refine((text) => {
  try {
    return parseIpv4Cidr(text).prefixLength <= 24;
  } catch {
    return false;
  }
}, 'must be an IPv4 range of at most /24 without host bits, e.g. 10.240.0.0/12');
const interfaceName = z.string().regex(/^[A-Za-z0-9_.-]{1,15}$/, 'must be an interface name');
function isPortRange(text: string): boolean {
  const [first = 0, last = first] = /^\d{1,5}(-\d{1,5})?$/.test(text) ? text.split('-').map(Number) : [];
  return first >= 1 && first <= last && last <= 65_535;
}
const programName = z
  .string()
  .regex(/^(\/[^\0]*|[A-Za-z0-9_.-]+)$/, 'must be an absolute path or the name of a program in PATH');
const milliseconds = z.int().min(10).max(86_400_000);

/**
 * Every setting of hostd, once: flags, environment, TOML keys, defaults, validation and docs/hostd-config.md are all
 * made from this table. Units are in the names.
 */
export const settings = {
  socket: {
    name: 'socket',
    kind: 'text',
    placeholder: 'path',
    schema: absolutePath.max(
      MAX_SOCKET_PATH_BYTES,
      `must be at most ${MAX_SOCKET_PATH_BYTES} bytes, the limit for a Unix socket`,
    ),
    defaultValue: HOSTD_SOCKET_PATH,
    meaning: 'Where hostd listens, mode 0660, group as in `group`. Ignored when systemd hands a socket over.',
  },
  stateDir: {
    name: 'state-dir',
    kind: 'text',
    placeholder: 'dir',
    schema: absolutePath,
    defaultValue: STATE_DIR,
    meaning: 'Root of the state tree: tenants, pools, instances, images. Made 0700, root only.',
  },
  runDir: {
    name: 'run-dir',
    kind: 'text',
    placeholder: 'dir',
    schema: absolutePath.max(48, 'must be at most 48 bytes, because the sockets of VMs are below it'),
    defaultValue: '/run/mvm-hostd',
    meaning:
      'What lives until reboot: the sockets of VMs, an empty directory that they are confined to, their secrets. Must be on a tmpfs for the latter.',
  },
  vmm: {
    name: 'vmm',
    kind: 'text',
    placeholder: 'name',
    schema: z.enum(['auto', 'qemu', 'firecracker']),
    defaultValue: 'auto',
    meaning:
      '`auto`, `qemu` or `firecracker`: what instances start with. `auto` takes Firecracker where it is installed and a guest really runs in it, else QEMU. A VM is found again and woken by what it was started with.',
  },
  qemuBinary: {
    name: 'qemu-binary',
    kind: 'text',
    placeholder: 'path',
    schema: programName,
    defaultValue: 'qemu-system-x86_64',
    meaning: 'The QEMU that runs VMs: an absolute path, or a name to be found in PATH.',
  },
  firecrackerBinary: {
    name: 'firecracker-binary',
    kind: 'text',
    placeholder: 'path',
    schema: programName,
    defaultValue: 'firecracker',
    meaning: 'The Firecracker that runs VMs: an absolute path, or a name to be found in PATH.',
  },
  jailerBinary: {
    name: 'jailer-binary',
    kind: 'text',
    placeholder: 'path',
    schema: programName,
    defaultValue: 'jailer',
    meaning: 'Firecracker’s jailer, of the same release.',
  },
  group: {
    name: 'group',
    kind: 'text',
    placeholder: 'name',
    schema: z.string().regex(/^[a-z_][a-z0-9_-]{0,31}\$?$/i, 'must be a group name'),
    defaultValue: 'mvm',
    meaning: 'Group whose members may use hostd (see "Who may connect"). The socket belongs to it.',
  },
  allowUid: {
    name: 'allow-uid',
    kind: 'integer-list',
    placeholder: 'uid,…',
    schema: z.array(z.int().min(0).max(4_294_967_294)).max(64),
    defaultValue: [] as readonly number[],
    meaning: 'User ids that may use hostd whatever their groups are.',
  },
  clusterCidr: {
    name: 'cluster-cidr',
    kind: 'text',
    placeholder: 'cidr',
    schema: cidr,
    defaultValue: DEFAULT_CLUSTER_CIDR,
    meaning: 'The range that every tenant network must be inside.',
  },
  uplink: {
    name: 'uplink',
    kind: 'text-list',
    placeholder: 'name,…',
    schema: z.array(interfaceName).max(16),
    defaultValue: [] as readonly string[],
    meaning: 'Interfaces through which guests reach the outside. Empty: those with a default route.',
  },
  publishPorts: {
    name: 'publish-ports',
    kind: 'text-list',
    placeholder: 'first-last,…',
    schema: z
      .array(z.string().refine(isPortRange, 'must be a port, or a range of ports like 8000-8999'))
      .max(64),
    defaultValue: ['1024-65535'] as readonly string[],
    meaning:
      'Ports of this host that pools may publish. A port on which the host itself listens is still refused.',
  },
  cgroupParent: {
    name: 'cgroup-parent',
    kind: 'text',
    placeholder: 'path',
    schema: z
      .string()
      .max(255)
      .regex(
        /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}){0,7}$/,
        'must be a relative path without `.` and `..`',
      ),
    defaultValue: 'mvm',
    meaning:
      'The cgroup below which every VM gets its own. Where systemd manages cgroups, it must be in a unit that is delegated to hostd: `mvm.slice/mvm-vms.service/vms` in the units that are shipped.',
  },
  vmUidBase: {
    name: 'vm-uid-base',
    kind: 'integer',
    placeholder: 'uid',
    schema: z.int().min(100_000).max(4_290_000_000),
    defaultValue: 1_900_000_000,
    meaning:
      'A VM runs as user and group base + 256 × tenant network id + address offset. Keep 1 048 576 ids free.',
  },
  vmNamespaces: {
    name: 'vm-namespaces',
    kind: 'text',
    placeholder: 'which',
    schema: z.enum(['own', 'host']),
    defaultValue: 'own',
    meaning:
      '`own`: each VMM is alone in a network, pid and ipc namespace, for which hostd needs CAP_SYS_ADMIN. `host`: it is in the host’s, where only the firewall’s rules for its user keep it from the network.',
  },
  tenantKeysDir: {
    name: 'tenant-keys-dir',
    kind: 'text',
    placeholder: 'dir',
    schema: absolutePath,
    defaultValue: '/etc/mvm/keys',
    meaning:
      'Where tenants’ keys are: `<tenant>.key`, 64 hexadecimal digits, mode 0600. A tenant that has one sleeps encrypted, and new instances of it get encrypted data volumes.',
  },
  logLevel: {
    name: 'log-level',
    kind: 'text',
    placeholder: 'level',
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    defaultValue: 'info',
    meaning:
      '`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`. `debug` shows the duration of each step.',
  },
  logFormat: {
    name: 'log-format',
    kind: 'text',
    placeholder: 'format',
    schema: z.enum(LOG_FORMATS),
    defaultValue: 'json',
    meaning:
      '`json`: a JSON object per line. `text`: time, level, message, and the fields as `name=value`. Under systemd, lines of both have their journald priority.',
  },
  maxConnections: {
    name: 'max-connections',
    kind: 'integer',
    placeholder: 'count',
    schema: z.int().min(1).max(65_536),
    defaultValue: 4096,
    meaning: 'Open connections; one more is closed at once.',
  },
  maxInFlight: {
    name: 'max-in-flight',
    kind: 'integer',
    placeholder: 'count',
    schema: z.int().min(1).max(1024),
    defaultValue: 64,
    meaning: 'Requests under way per connection; further frames are not read until one is answered.',
  },
  maxConnectionsPerUser: {
    name: 'max-connections-per-user',
    kind: 'integer',
    placeholder: 'count',
    schema: z.int().min(1).max(65_536),
    defaultValue: 512,
    meaning: 'Open connections of one user; one more is answered with an error and closed.',
  },
  maxInFlightPerUser: {
    name: 'max-in-flight-per-user',
    kind: 'integer',
    placeholder: 'count',
    schema: z.int().min(1).max(65_536),
    defaultValue: 1024,
    meaning: 'Requests under way over all connections of one user; others wait.',
  },
  maxAnswerMibPerUser: {
    name: 'max-answer-mib-per-user',
    kind: 'integer',
    placeholder: 'MiB',
    schema: z.int().min(2).max(4096),
    defaultValue: 16,
    meaning:
      'Answers that one user has not taken yet, over all its connections; reads wait until there is room, operations do not. A read that is being carried out counts as 1 MiB, an operation as 4 KiB.',
  },
  maxParallelOperations: {
    name: 'max-parallel-operations',
    kind: 'integer',
    placeholder: 'count',
    schema: z.int().min(1).max(256),
    defaultValue: 8,
    meaning:
      'Operations on instances that run at the same time, over all tenants; others wait. One that takes more than 2 seconds gives its place to others; a tenant may have as many of those.',
  },
  frameTimeoutMs: {
    name: 'frame-timeout-ms',
    kind: 'integer',
    placeholder: 'ms',
    schema: milliseconds,
    defaultValue: 10_000,
    meaning: 'Time to send a frame: from the connection to its first byte, and from there to its last.',
  },
  idleTimeoutMs: {
    name: 'idle-timeout-ms',
    kind: 'integer',
    placeholder: 'ms',
    schema: milliseconds,
    defaultValue: 300_000,
    meaning: 'A connection with nothing under way is closed after this long.',
  },
  consoleLimitKib: {
    name: 'console-limit-kib',
    kind: 'integer',
    placeholder: 'KiB',
    schema: z.int().min(64).max(1_048_576),
    defaultValue: 1024,
    meaning: 'How much of a guest’s console, and of its VMM’s log, is kept; the oldest goes first.',
  },
} as const satisfies SettingsTable;

/** All settings, validated; see `settings` for meaning and units. */
export type HostdConfig = SettingValues<typeof settings>;

/** Variables are `MVM_HOSTD_<NAME>`. */
export const ENVIRONMENT_PREFIX = 'MVM_HOSTD';
