import { expect, it } from 'vitest';
import type { HostProbe } from './host-probe.js';
import { securityChecks } from './security-checks.js';

const VULNERABILITIES = '/sys/devices/system/cpu/vulnerabilities';

/** A host whose files are these. */
function host(files: Readonly<Record<string, string>>, open: readonly string[] = []): HostProbe {
  const probe: Pick<HostProbe, 'readText' | 'list' | 'isOpenToOthers'> = {
    readText: async (path) => files[path],
    list: async (path) =>
      Object.keys(files)
        .filter((name) => name.startsWith(`${path}/`))
        .map((name) => name.slice(path.length + 1)),
    isOpenToOthers: async (path) => open.includes(path),
  };
  return probe as HostProbe;
}

async function verdict(name: string, subject: HostProbe): Promise<string | undefined> {
  return (await securityChecks.find((check) => check.name === name)?.run(subject))?.verdict;
}

it('finds nothing on a host that is as it should be', async () => {
  const good = host({
    '/proc/swaps': 'Filename Type Size Used Priority\n',
    '/sys/kernel/mm/ksm/run': '0\n',
    '/sys/devices/system/cpu/smt/active': '0\n',
    '/proc/sys/kernel/core_pattern': 'core\n',
    '/proc/sys/net/netfilter/nf_conntrack_max': '262144\n',
    [`${VULNERABILITIES}/mds`]: 'Mitigation: Clear CPU buffers\n',
    '/etc/passwd': 'root:x:0:0::/root:/bin/sh\n',
    '/etc/subuid': 'me:100000:65536\n',
  });
  for (const { name } of securityChecks) expect(await verdict(name, good), name).toBe('ok');
});

it.each<[string, Readonly<Record<string, string>>, readonly string[]]>([
  ['swap', { '/proc/swaps': 'Filename\n/dev/sda2 partition 1 0 -2\n' }, []],
  ['ksm', { '/sys/kernel/mm/ksm/run': '1\n' }, []],
  ['smt', { '/sys/devices/system/cpu/smt/active': '1\n' }, []],
  [
    'microcode',
    { [`${VULNERABILITIES}/mds`]: 'Vulnerable: Clear CPU buffers attempted, no microcode\n' },
    [],
  ],
  ['core-pattern', { '/proc/sys/kernel/core_pattern': '|/usr/lib/systemd/systemd-coredump %P\n' }, []],
  ['directories', {}, ['/var']],
  ['conntrack', { '/proc/sys/net/netfilter/nf_conntrack_max': '4096\n' }, []],
  ['vm-uids', { '/etc/passwd': 'mallory:x:1900000771:1::/:/bin/sh\n' }, []],
  ['vm-uids', { '/etc/subuid': 'mallory:1899990000:65536\n' }, []],
])('%s: warns of %j', async (name, files, open) => {
  expect(await verdict(name, host(files, open))).toBe('warn');
});
