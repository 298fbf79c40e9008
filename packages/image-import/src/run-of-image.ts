import type { RunConfig, RunHealth } from '@mvm/guest-boot';
import { type AccountFiles, resolveUser } from './accounts.js';
import type { ImageConfig } from './documents.js';
import { badConfig } from './errors.js';
import { parseSignal } from './stop-signal.js';

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** As docker: what a container gets before it is killed. */
const STOP_TIMEOUT_MS = 10_000;
/** Programs that must be process 1. Source: podman-run(1), --systemd. */
const INIT_PROGRAMS =
  /^(\/usr)?(\/local)?(\/s?bin\/init|\/lib\/systemd\/systemd|\/s?bin\/systemd)$|^systemd$|^init$/;
const MAX_LIST = 500;

export interface RunOfImageOptions {
  readonly files: AccountFiles;
  readonly dns: readonly string[];
}

/**
 * How a guest runs an image: its Entrypoint and Cmd, environment, directory, user, signal and volumes. Throws
 * `image.bad_config`.
 */
export function runOfImage(image: ImageConfig, options: RunOfImageOptions): RunConfig {
  const config = image.config ?? {};
  const args = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  if (args[0] === undefined || args[0] === '') {
    throw badConfig('it names no command', 'give the image an ENTRYPOINT or a CMD when you build it');
  }
  const account = resolveUser(config.User ?? '', options.files);
  const env = [...(config.Env ?? [])];
  for (const entry of env) {
    if (!/^[^=]+=/.test(entry))
      throw badConfig(`Env has an entry without a value: ${JSON.stringify(entry)}`, 'write NAME=value');
  }
  if (!env.some((entry) => entry.startsWith('PATH='))) env.unshift(DEFAULT_PATH);
  if (!env.some((entry) => entry.startsWith('HOME='))) env.push(`HOME=${account.home}`);
  const cwd = config.WorkingDir || '/';
  const volumes = Object.keys(config.Volumes ?? {})
    .map(cleanPath)
    .sort();
  for (const path of [cwd, ...volumes]) {
    if (!path.startsWith('/') || path.split('/').includes('..')) {
      throw badConfig(
        `${JSON.stringify(path)} is not an absolute path`,
        'write WorkingDir and Volumes as absolute paths',
      );
    }
  }
  const health = healthOf(config.Healthcheck);
  const texts = [...args, ...env, cwd, ...volumes, ...(health?.args ?? [])];
  if (texts.some((text) => text.includes('\0')))
    throw badConfig('it contains a zero byte', 'build the image again');
  if (
    texts.join('').length > 128 * 1024 ||
    Math.max(args.length, env.length, volumes.length, health?.args.length ?? 0) > MAX_LIST
  ) {
    throw badConfig(
      'command, environment or volumes are too long',
      'put long settings into a file of the image',
    );
  }
  const isInit = INIT_PROGRAMS.test(args[0]);
  return {
    args,
    env,
    cwd,
    uid: account.uid,
    gid: account.gid,
    groups: account.groups,
    // systemd powers off at SIGRTMIN+3, and takes SIGTERM for a request to restart.
    stopSignal: parseSignal(config.StopSignal || (isInit ? 'SIGRTMIN+3' : 'SIGTERM')),
    stopTimeoutMs: STOP_TIMEOUT_MS,
    volumes: volumes.filter((path) => path !== '/'),
    dns: options.dns,
    isInit,
    health,
  };
}

const MS_PER_NS = 1e-6;

/** The health check of an image; null when it has none, or says that it wants none. Throws `image.bad_config`. */
function healthOf(check: NonNullable<ImageConfig['config']>['Healthcheck']): RunHealth | null {
  const [form, ...rest] = check?.Test ?? [];
  if (check == null || form === undefined || form === 'NONE') return null;
  if ((form !== 'CMD' && form !== 'CMD-SHELL') || rest.length === 0) {
    throw badConfig(
      `its Healthcheck is neither CMD nor CMD-SHELL: ${JSON.stringify(form)}`,
      'write HEALTHCHECK CMD …',
    );
  }
  const ms = (nanoseconds: number | null | undefined): number | null =>
    nanoseconds == null || nanoseconds === 0
      ? null
      : Math.min(86_400_000, Math.max(1, Math.round(nanoseconds * MS_PER_NS)));
  return {
    args: form === 'CMD' ? rest : ['/bin/sh', '-c', rest.join(' ')],
    intervalMs: ms(check.Interval),
    timeoutMs: ms(check.Timeout),
    retries: check.Retries == null || check.Retries === 0 ? null : Math.min(check.Retries, 1000),
    startPeriodMs: ms(check.StartPeriod),
  };
}

function cleanPath(path: string): string {
  return path.replaceAll(/\/+/g, '/').replace(/(.)\/$/, '$1');
}
