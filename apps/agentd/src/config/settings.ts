import { MAX_SOCKET_PATH_BYTES } from '@mvm/framing';
import { LOG_FORMATS } from '@mvm/node-host';
import { AGENTD_SOCKET_PATH, HOSTD_SOCKET_PATH } from '@mvm/protocol';
import { isValidId } from '@mvm/protocol/names';
import type { SettingsTable, SettingValues } from '@mvm/settings';
import { z } from 'zod';
import { SCRAPE_ADDRESS } from '../metrics/scrape-server.js';

const absolutePath = z.string().regex(/^\/[^\0]*$/, 'must be an absolute path');
const socketPath = absolutePath.refine(
  (path) => Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES,
  `must be at most ${MAX_SOCKET_PATH_BYTES} bytes, the limit for a Unix socket`,
);
const scopeList = z.array(
  z.string().refine((scope) => {
    const parts = scope.split('/');
    return parts.length <= 2 && parts.every(isValidId);
  }, 'must be a tenant, or a tenant and a pool as tenant/pool'),
);

const groupName = z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'must be the name of a group');

function durationMs(minMs: number, maxMs: number) {
  const range = `must be a duration of ${minMs} ms to ${maxMs / 1000} s, such as 500ms, 10s or 2m`;
  return z.int(range).min(minMs, range).max(maxMs, range);
}

/**
 * Every setting of agentd, once: flags, environment, TOML keys, defaults, validation and docs/agentd-config.md are all
 * made from this table. Durations are milliseconds in the loaded configuration.
 */
export const settings = {
  socket: {
    name: 'socket',
    kind: 'text',
    placeholder: 'path',
    schema: socketPath,
    defaultValue: AGENTD_SOCKET_PATH,
    meaning: 'Where the HTTP API listens: a Unix socket, mode 0660.',
  },
  hostdSocket: {
    name: 'hostd-socket',
    kind: 'text',
    placeholder: 'path',
    schema: socketPath,
    defaultValue: HOSTD_SOCKET_PATH,
    meaning: 'The socket of mvm-hostd.',
  },
  stateDir: {
    name: 'state-dir',
    kind: 'text',
    placeholder: 'dir',
    schema: absolutePath,
    defaultValue: '/var/lib/mvm-agentd',
    meaning:
      'Where the applied desired state and the holds are kept. Made 0700 when missing; its parent must exist.',
  },
  desired: {
    name: 'desired',
    kind: 'text',
    placeholder: 'file',
    schema: absolutePath.nullable(),
    defaultValue: null,
    meaning:
      'A desired-state file (YAML or JSON) to follow: read again when it changes. PUT /v1/desired is then refused.',
  },
  interval: {
    name: 'interval',
    kind: 'duration',
    placeholder: 'duration',
    schema: durationMs(100, 3_600_000),
    defaultValue: '10s',
    meaning: 'Longest time between two looks at the host. Changes of the desired state are acted on at once.',
  },
  parallelActions: {
    name: 'parallel-actions',
    kind: 'integer',
    placeholder: 'count',
    schema: z.int().min(1).max(64),
    defaultValue: 4,
    meaning: 'Actions that run at the same time.',
  },
  maxActions: {
    name: 'max-actions',
    kind: 'integer',
    placeholder: 'count',
    schema: z.int().min(1).max(1000),
    defaultValue: 64,
    meaning: 'Actions per pass; the rest is left to the next pass, which looks at the host again.',
  },
  actionTimeout: {
    name: 'action-timeout',
    kind: 'duration',
    placeholder: 'duration',
    schema: durationMs(1000, 3_600_000),
    defaultValue: '3m',
    meaning: 'How long an action of hostd may take before it counts as failed.',
  },
  bootGrace: {
    name: 'boot-grace',
    kind: 'duration',
    placeholder: 'duration',
    schema: durationMs(0, 3_600_000),
    defaultValue: '60s',
    meaning:
      'How long a guest without an agent has to run before it counts as booted, and may be paused or put to sleep.',
  },
  retryDelay: {
    name: 'retry-delay',
    kind: 'duration',
    placeholder: 'duration',
    schema: durationMs(10, 3_600_000),
    defaultValue: '2s',
    meaning: 'Wait after the first failure of an action; doubled with each further one in a row.',
  },
  retryDelayCap: {
    name: 'retry-delay-cap',
    kind: 'duration',
    placeholder: 'duration',
    schema: durationMs(10, 86_400_000),
    defaultValue: '5m',
    meaning: 'The longest such wait.',
  },
  pinned: {
    name: 'pinned',
    kind: 'text-list',
    placeholder: 'tenant[/pool],…',
    schema: scopeList,
    defaultValue: [] as readonly string[],
    meaning:
      'Tenants and pools of which nothing is stopped, destroyed or removed. Their warm and sleeping counts are still kept.',
  },
  critical: {
    name: 'critical',
    kind: 'text-list',
    placeholder: 'tenant[/pool],…',
    schema: scopeList,
    defaultValue: [] as readonly string[],
    meaning: 'As pinned, and served before everything else.',
  },
  allowRoot: {
    name: 'allow-root',
    kind: 'switch',
    placeholder: '',
    schema: z.boolean(),
    defaultValue: false,
    meaning: 'Start as root, or with capabilities. For trying things out only: agentd needs no privileges.',
  },
  operatorsGroup: {
    name: 'operators-group',
    kind: 'text',
    placeholder: 'group',
    schema: groupName,
    defaultValue: 'mvm',
    meaning:
      'Group whose members may use the whole API. Only looked at when there is a `viewers_group`; without one, whoever may open the socket may use all of it.',
  },
  viewersGroup: {
    name: 'viewers-group',
    kind: 'text',
    placeholder: 'group',
    schema: groupName.nullable(),
    defaultValue: null,
    meaning:
      'Group whose members may only look: GET requests, guests’ logs included. With it, the socket has mode 0666 and agentd checks each caller.',
  },
  metricsListen: {
    name: 'metrics-listen',
    kind: 'text',
    placeholder: 'address:port',
    schema: z
      .string()
      .regex(SCRAPE_ADDRESS, 'must be 127.0.0.1:<port> or [::1]:<port>')
      .refine((text) => Number(text.split(':').at(-1)) <= 65_535, 'must have a port up to 65535')
      .nullable(),
    defaultValue: null,
    meaning:
      'Where Prometheus can scrape `/metrics` over TCP, without authentication: an address of the loopback interface, such as `127.0.0.1:9464`. Absent: only over the API’s socket.',
  },
  logLevel: {
    name: 'log-level',
    kind: 'text',
    placeholder: 'level',
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    defaultValue: 'info',
    meaning: '`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`.',
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
} as const satisfies SettingsTable;

/** The loaded configuration; durations in milliseconds. */
export type AgentdConfig = SettingValues<typeof settings>;

/** Variables are `MVM_AGENTD_<NAME>`. */
export const ENVIRONMENT_PREFIX = 'MVM_AGENTD';
