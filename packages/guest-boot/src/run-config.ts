/** How the guest's first program runs an image. Source: docs/images.md, "Inside the guest". */
export interface RunConfig {
  /** Program and arguments; at least the program. */
  readonly args: readonly string[];
  /** `NAME=value`. */
  readonly env: readonly string[];
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Number of the signal that asks the program to end. */
  readonly stopSignal: number;
  readonly stopTimeoutMs: number;
  /** Absolute paths that keep their content on the data disk. */
  readonly volumes: readonly string[];
  /** Addresses of name servers; none: the image's own /etc/resolv.conf. */
  readonly dns: readonly string[];
  /** The program is an init system and becomes process 1. */
  readonly isInit: boolean;
  /** The image's health check; null: none. */
  readonly health: RunHealth | null;
}

/** A program that is run again and again, and ends with 0 while the guest is healthy. */
export interface RunHealth {
  readonly args: readonly string[];
  /** Each null: the first program's default. */
  readonly intervalMs: number | null;
  readonly timeoutMs: number | null;
  readonly retries: number | null;
  readonly startPeriodMs: number | null;
}

/** The file `/run.conf` of the initrd: records `key=value`, each ended by a zero byte. Pure. */
export function renderRunConfig(run: RunConfig): Buffer {
  const records: (readonly [key: string, value: string])[] = [
    ...run.args.map((value) => ['arg', value] as const),
    ...run.env.map((value) => ['env', value] as const),
    ['cwd', run.cwd],
    ['uid', String(run.uid)],
    ['gid', String(run.gid)],
    ...run.groups.map((group) => ['group', String(group)] as const),
    ['stop_signal', String(run.stopSignal)],
    ['stop_timeout_ms', String(run.stopTimeoutMs)],
    ...run.volumes.map((value) => ['volume', value] as const),
    ...run.dns.map((value) => ['dns', value] as const),
    ['hands_over', run.isInit ? '1' : '0'],
    ...healthRecords(run.health),
  ];
  return Buffer.from(records.map(([key, value]) => `${key}=${value}\0`).join(''), 'utf8');
}

function healthRecords(health: RunHealth | null): [key: string, value: string][] {
  if (health === null) return [];
  const numbers: readonly (readonly [key: string, value: number | null])[] = [
    ['health_interval_ms', health.intervalMs],
    ['health_timeout_ms', health.timeoutMs],
    ['health_retries', health.retries],
    ['health_start_period_ms', health.startPeriodMs],
  ];
  return [
    ...health.args.map((arg): [string, string] => ['health_arg', arg]),
    ...numbers.flatMap(([key, value]): [string, string][] => (value === null ? [] : [[key, String(value)]])),
  ];
}
