import { describe, expect, it } from 'vitest';
import type { VmSpec } from '../vmm.js';
import { agentSocketPath, qmpSocketPath, renderQemuArgv, restoreArgv } from './argv.js';

const spec: VmSpec = {
  vmId: 'tn3i5',
  vcpus: 2,
  memMib: 512,
  kernelPath: '/s/vmlinux',
  initrdPath: '/s/initrd',
  kernelArgs: 'console=ttyS0 quiet',
  drives: [
    { id: 'rootfs', path: '/s/rootfs.ext4', readOnly: true },
    { id: 'data', path: '/s/data.ext4', readOnly: false },
  ],
  net: { tapName: 'tn3i5', mac: '02:fc:00:03:00:05' },
  uid: 1_900_000_773,
  gid: 1_900_000_773,
  socketDir: '/run/mvm/vm/tn3i5',
  consolePath: '/s/console.log',
  vmmLogPath: '/s/vmm.log',
  accelerator: 'tcg',
};

/** Values of an option, in order. */
function values(argv: readonly string[], option: string): string[] {
  return argv.flatMap((argument, index) => (argument === option ? [argv[index + 1] ?? ''] : []));
}

describe('renderQemuArgv', () => {
  const argv = renderQemuArgv(spec, { tscKhz: 2_596_146 });

  it('is the same for the same VM', () => {
    expect(renderQemuArgv(structuredClone(spec), { tscKhz: 2_596_146 })).toEqual(argv);
  });

  it('starts paused, without defaults, confined', () => {
    for (const flag of ['-S', '-nodefaults', '-no-user-config', '-no-reboot']) expect(argv).toContain(flag);
    expect(values(argv, '-runas')).toEqual(['1900000773:1900000773']);
    expect(values(argv, '-chroot')).toEqual(['/run/mvm/vm/tn3i5/root']);
    expect(values(argv, '-sandbox')).toEqual(['on,obsolete=deny,spawn=deny,resourcecontrol=deny']);
  });

  it('gives drives their serial numbers, and only writable ones the right to write', () => {
    expect(values(argv, '-drive')).toEqual([
      'if=none,id=rootfs,file=/s/rootfs.ext4,format=raw,readonly=on,file.locking=off',
      'if=none,id=data,file=/s/data.ext4,format=raw,cache=none,aio=threads,discard=unmap,auto-read-only=off',
    ]);
    expect(values(argv, '-device').filter((device) => device.includes('blk'))).toEqual([
      'virtio-blk-device,drive=rootfs,serial=rootfs',
      'virtio-blk-device,drive=data,serial=data,werror=report,rerror=report',
    ]);
  });

  it('tells an emulated guest the counter’s frequency, and no other', () => {
    expect(values(argv, '-append')).toEqual([
      'console=ttyS0 quiet panic=-1 reboot=t tsc_early_khz=2596146 tsc=reliable',
    ]);
    expect(values(renderQemuArgv(spec, { tscKhz: null }), '-append')).toEqual([
      'console=ttyS0 quiet panic=-1 reboot=t',
    ]);
    const fast = renderQemuArgv({ ...spec, accelerator: 'kvm' }, { tscKhz: 2_596_146 });
    expect(values(fast, '-append')).toEqual(['console=ttyS0 quiet panic=-1 reboot=t']);
    expect(values(fast, '-cpu')).toEqual(['host']);
  });

  it.each([
    ['panic=0 quiet', 'panic=0 quiet'],
    ['panic=5', 'panic=5'],
    ['reboot=k', 'reboot=k panic=-1'],
  ])('leaves what the image says of panics: %s', (kernelArgs, expected) => {
    const argv = renderQemuArgv({ ...spec, kernelArgs }, { tscKhz: null });
    expect(values(argv, '-append')).toEqual([expected]);
  });
  it('leaves the initrd out when there is none', () => {
    expect(renderQemuArgv({ ...spec, initrdPath: null }, { tscKhz: null })).not.toContain('-initrd');
  });

  it('does not let a comma in a path begin another option', () => {
    const odd = renderQemuArgv(
      {
        ...spec,
        consolePath: '/s/a,append=off',
        drives: [{ id: 'data', path: '/s/b,readonly=on', readOnly: false }],
      },
      { tscKhz: null },
    );
    expect(values(odd, '-chardev')[0]).toBe('file,id=console0,path=/s/a,,append=off,append=on');
    expect(values(odd, '-drive')[0]).toContain('file=/s/b,,readonly=on,format=raw');
  });

  it('refuses a socket path that would be cut off, counting bytes', () => {
    const long = { socketDir: `/${'ü'.repeat(50)}` };
    expect(() => qmpSocketPath(long)).toThrow(
      expect.objectContaining({ reason: 'vmm.socket_path_too_long' }),
    );
    expect(agentSocketPath({ socketDir: `/${'a'.repeat(95)}` })).toHaveLength(107);
    expect(() => agentSocketPath({ socketDir: `/${'a'.repeat(96)}` })).toThrow();
  });
});

describe('restoreArgv', () => {
  const expected = renderQemuArgv(spec, { tscKhz: null });
  /** As hostd wrote them before VMMs had a network namespace of their own. */
  const first = expected.map((argument) =>
    argument
      .replace(',file.locking=off', '')
      .replace(/^tap,id=net0,fd=5,/, 'tap,id=net0,ifname=tn3i5,script=no,downscript=no,'),
  );
  it('takes a snapshot of the first form, and gives its VM what a new one gets', () => {
    expect(first).not.toEqual(expected);
    const saved = [
      'qemu',
      ...first.map((text) => (text.startsWith(spec.kernelArgs) ? 'quiet tsc=reliable' : text)),
    ];
    const argv = restoreArgv(spec, saved);
    expect(values(argv, '-netdev')).toEqual(values(expected, '-netdev'));
    expect(values(argv, '-drive')).toEqual(values(expected, '-drive'));
    expect(values(argv, '-append')).toEqual(['quiet tsc=reliable']);
    expect(argv.slice(-2)).toEqual(['-incoming', 'fd:3']);
  });
  it('maps the memory from a file when it is apart, whatever the saved VM did', () => {
    const mapped = restoreArgv(spec, ['qemu', ...expected], { mapsMemory: true });
    expect(mapped.slice(-4)).toEqual(['-mem-path', '/proc/self/fd/6', '-incoming', 'fd:3']);
    expect(mapped.slice(0, -4)).toEqual(expected);
    expect(restoreArgv(spec, ['qemu', ...mapped], { mapsMemory: true })).toEqual(mapped);
    expect(restoreArgv(spec, ['qemu', ...mapped])).toEqual([...expected, '-incoming', 'fd:3']);
  });
  it('refuses another TAP, or another device', () => {
    for (const [from, to] of [
      ['ifname=tn3i5', 'ifname=tn3i6'],
      ['readonly=on', 'readonly=off'],
      ['max_ports=2', 'max_ports=3'],
    ] as const) {
      const other = first.map((argument) => argument.replace(from, to));
      expect(() => restoreArgv(spec, ['qemu', ...other]), from).toThrow(
        expect.objectContaining({ reason: 'vmm.devices_changed' }),
      );
    }
  });
});
