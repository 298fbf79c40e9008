import type { HostInfo } from '@mvm/protocol';
import type { HostProbe } from './host-probe.js';

/** For programs that are started in another namespace. */
const PATH = 'PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin';
/** `env` ends with it when there is no such program. Source: env(1). */
const NOT_FOUND = 127;

/**
 * A probe that sees the network that hostd works in, which is not always the caller's: hostd may run in a container, or
 * the caller may. Null when it is another one and cannot be entered, which needs root and hostd's process.
 */
export async function inNetworkOf(
  host: HostProbe,
  hostd: Pick<HostInfo, 'pid' | 'network_namespace'>,
): Promise<HostProbe | null> {
  const { pid, network_namespace: wanted } = hostd;
  if (wanted === undefined || (await linkAt(host, '/proc/self/ns/net')) === wanted) return host;
  const path = `/proc/${pid}/ns/net`;
  if (host.uid !== 0 || (await linkAt(host, path)) !== wanted) return null;
  const enter = (program: string, args: readonly string[]) => [
    `--net=${path}`,
    '--',
    'env',
    PATH,
    program,
    ...args,
  ];
  return {
    ...host,
    run: async (program, args) => {
      const answer = await host.run('nsenter', enter(program, args));
      return answer.kind === 'ran' && answer.exitCode === NOT_FOUND ? { kind: 'missing' } : answer;
    },
    read: async (program, args) => {
      const answer = await host.read('nsenter', enter(program, args));
      return answer?.exitCode === NOT_FOUND ? null : answer;
    },
    // What these files say depends on who opens them.
    readText: async (file) => {
      if (!/^\/proc\/(sys\/)?net\//.test(file)) return host.readText(file);
      const answer = await host.read('nsenter', enter('cat', [file]));
      return answer?.exitCode === 0 ? answer.stdout : undefined;
    },
    list: async (dir) => {
      if (dir !== '/sys/class/net') return host.list(dir);
      const answer = await host.read('nsenter', enter('ip', ['-o', 'link', 'show']));
      const lines = answer?.stdout.split('\n') ?? [];
      return lines.flatMap((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? []).sort();
    },
  };
}

async function linkAt(host: HostProbe, path: string): Promise<string | null> {
  const answer = await host.run('readlink', [path]);
  return answer.kind === 'ran' && answer.exitCode === 0 ? answer.output : null;
}
