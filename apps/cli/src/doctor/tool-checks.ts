import { onOneLine } from '../format/control-characters.js';
import { type Check, type Finding, fail, ok, warn } from './check.js';
import type { HostProbe } from './host-probe.js';

/** Programs that the daemons run, with the Debian package that brings each. */
const TOOLS = [
  { name: 'nft', args: ['--version'], debian: 'nftables' },
  { name: 'ip', args: ['-V'], debian: 'iproute2' },
  { name: 'bridge', args: ['-V'], debian: 'iproute2' },
  { name: 'conntrack', args: ['--version'], debian: 'conntrack' },
  { name: 'mkfs.ext4', args: ['-V'], debian: 'e2fsprogs' },
  { name: 'flock', args: ['--version'], debian: 'util-linux' },
] as const;

/** What must be installed. */
export const toolChecks: readonly Check<HostProbe>[] = [
  { name: 'qemu', area: 'tools', run: checkQemu },
  ...TOOLS.map(({ name, args, debian }): Check<HostProbe> => {
    return { name, area: 'tools', run: (host) => checkTool(host, name, args, debian) };
  }),
  { name: 'zstd', area: 'tools', run: checkZstd },
];

async function checkQemu(host: HostProbe): Promise<Finding> {
  return host.arch === 'arm64'
    ? checkTool(host, 'qemu-system-aarch64', ['--version'], 'qemu-system-arm')
    : checkTool(host, 'qemu-system-x86_64', ['--version'], 'qemu-system-x86');
}

/** It compresses snapshots, also those of `lz4`. */
async function checkZstd(host: HostProbe): Promise<Finding> {
  const found = await checkTool(host, 'zstd', ['--version'], 'zstd');
  return found.verdict === 'fail'
    ? warn(`${found.detail}: pools with a snapshot_compression cannot sleep`, found.fix ?? '')
    : found;
}

async function checkTool(
  host: HostProbe,
  program: string,
  args: readonly string[],
  debianPackage: string,
): Promise<Finding> {
  const answer = await host.run(program, args);
  if (answer.kind === 'missing')
    return fail(`${program} is not installed`, `apt-get install ${debianPackage}`);
  const firstLine = onOneLine(answer.output.split('\n', 1)[0] ?? '');
  return answer.exitCode === 0
    ? ok(firstLine || program)
    : fail(`${program} does not run: ${firstLine}`, `apt-get install --reinstall ${debianPackage}`);
}
