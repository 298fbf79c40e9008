import type { GuestProgram, Health } from '@mvm/protocol';

type Record = readonly [key: string, value: string];

/**
 * What a pool says of its guests' program, as `run.conf` of their config drive: records `key=value`, each ended by a zero
 * byte; null when the pool says nothing. Pure. Source: docs/images.md, "Inside the guest".
 */
export function renderRunOverrides({ command, env, user, health }: GuestProgram): string | null {
  const records: Record[] = [
    ...(command ?? []).map((arg): Record => ['arg', arg]),
    ...(command?.length === 0 ? [['no_command', '1'] satisfies Record] : []),
    ...Object.entries(env ?? {}).map(([name, value]): Record => ['env', `${name}=${value}`]),
    ...(user === undefined ? [] : [['user', user] satisfies Record]),
    ...(health === undefined ? [] : healthRecords(health)),
  ];
  return records.length === 0 ? null : records.map(([key, value]) => `${key}=${value}\0`).join('');
}

function healthRecords(health: Health): Record[] {
  const { command, interval_secs, timeout_secs, retries, start_period_secs, on_unhealthy } = health;
  const ms = (key: string, seconds: number | undefined): Record[] =>
    seconds === undefined ? [] : [[key, String(seconds * 1000)]];
  return [
    ...(command ?? []).map((arg): Record => ['health_arg', arg]),
    ...(command?.length === 0 ? [['no_health', '1'] satisfies Record] : []),
    ...ms('health_interval_ms', interval_secs),
    ...ms('health_timeout_ms', timeout_secs),
    ...(retries === undefined ? [] : [['health_retries', String(retries)] satisfies Record]),
    ...ms('health_start_period_ms', start_period_secs),
    ...(on_unhealthy === 'stop' ? [['health_stops', '1'] satisfies Record] : []),
  ];
}

/** What a pool's record says of its guests' program; undefined when it says nothing. Pure. */
export function programOf({ command, env, user, health }: GuestProgram): GuestProgram | undefined {
  const program = {
    ...(command === undefined ? {} : { command }),
    ...(env === undefined ? {} : { env }),
    ...(user === undefined ? {} : { user }),
    ...(health === undefined ? {} : { health }),
  };
  return Object.keys(program).length === 0 ? undefined : program;
}
