import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { VmSpec } from '../vmm.js';
import type { ApiRequest } from './api.js';
import { configurationOf, devicesOf, kernelCommandLine, requireSameDevices } from './machine.js';

// Firecracker refuses a request with a property that it does not know, or without one that it needs.
interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
}
interface Operation {
  readonly parameters?: readonly { readonly in: string; readonly schema?: Schema }[];
}
const api = JSON.parse(
  readFileSync(new URL('../../../test/firecracker-api/api-v1.16.1.json', import.meta.url), 'utf8'),
) as {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly definitions: Readonly<Record<string, Schema>>;
};

function problems(schema: Schema, value: unknown, at: string): string[] {
  const { $ref } = schema;
  if ($ref !== undefined)
    return problems(api.definitions[$ref.replace('#/definitions/', '')] as Schema, value, at);
  if (schema.enum?.includes(value) === false) return [`${at}: ${String(value)} is none of its values`];
  if (typeof value === 'number') {
    const { minimum = -Infinity, maximum = Infinity } = schema;
    return value < minimum || value > maximum ? [`${at}: ${value} is out of range`] : [];
  }
  if (typeof value !== 'object' || value === null)
    return schema.type === typeof value ? [] : [`${at} is a ${typeof value}`];
  const { properties = {}, required = [] } = schema;
  return [
    ...required.filter((name) => !(name in value)).map((name) => `${at} lacks ${name}`),
    ...Object.entries(value).flatMap(([name, inner]) =>
      properties[name] === undefined
        ? [`${at} has ${name}`]
        : problems(properties[name], inner, `${at}.${name}`),
    ),
  ];
}

function apiProblems({ method, path, body }: ApiRequest): string[] {
  const route = Object.keys(api.paths).find((template) =>
    new RegExp(`^${template.replaceAll(/\{[^}]+\}/g, '[A-Za-z0-9_]+')}$`).test(path),
  );
  const operation = route === undefined ? undefined : api.paths[route]?.[method.toLowerCase()];
  if (operation === undefined) return [`there is no ${method} ${path}`];
  const schema = operation.parameters?.find((parameter) => parameter.in === 'body')?.schema;
  if (schema === undefined) return body === undefined ? [] : [`${path} has a body`];
  return problems(schema, body, path);
}

const spec: VmSpec = {
  vmId: 'tn3i5',
  vcpus: 2,
  memMib: 256,
  kernelPath: '/images/vmlinux',
  initrdPath: '/images/initrd',
  kernelArgs: 'console=ttyS0 panic=-1 reboot=t quiet',
  drives: [
    { id: 'rootfs', path: '/images/rootfs', readOnly: true },
    { id: 'data', path: '/volumes/data', readOnly: false },
  ],
  net: { tapName: 'tn3i5', mac: '02:fc:00:03:00:05' },
  uid: 1_900_000_773,
  gid: 1_900_000_773,
  socketDir: '/run/mvm-hostd/vm/tn3i5',
  consolePath: '/c',
  vmmLogPath: '/l',
  accelerator: 'kvm',
};

describe('the configuration of a VM', () => {
  it('is as the API description of the newest known version wants it', () => {
    const requests = [...configurationOf(spec), ...configurationOf({ ...spec, initrdPath: null })];
    expect(requests.flatMap(apiProblems)).toEqual([]);
    // The check itself finds what Firecracker would refuse.
    expect(
      apiProblems({ method: 'PUT', path: '/vsock', body: { guest_cid: 2, uds_path: '/v', nope: 1 } }),
    ).toEqual(['/vsock.guest_cid: 2 is out of range', '/vsock has nope']);
    expect(apiProblems({ method: 'PUT', path: '/drives/a', body: { drive_id: 'a' } })).toHaveLength(1);
  });

  it('names no path of the host but that of its sockets', () => {
    const told = JSON.stringify(configurationOf(spec));
    expect(told).not.toContain('/images');
    expect(told).not.toContain('/volumes');
    expect(told).toContain('/run/mvm-hostd/vm/tn3i5/vsock.sock');
  });

  it('has a writable drive flush to the disk, and a shared one read-only', () => {
    const drives = devicesOf(spec).filter(({ path }) => path.startsWith('/drives/'));
    expect(drives.map(({ body }) => body)).toMatchObject([
      { drive_id: 'rootfs', is_read_only: true },
      { drive_id: 'data', is_read_only: false, cache_type: 'Writeback' },
    ]);
  });

  it('tells the guest its drives in order, and to restart where it would switch off', () => {
    const line = kernelCommandLine(spec);
    expect(line).toContain(' mvm.drives=rootfs,data mvm.off=reboot');
    expect(line.match(/(?<=^| )reboot=\S+/g)).toEqual(['reboot=k']);
    expect(line.match(/panic=\S+/g)).toEqual(['panic=-1']);
    expect(kernelCommandLine({ ...spec, kernelArgs: 'quiet' })).toContain('panic=-1');
  });
});

describe('the devices of a saved VM', () => {
  const saved: unknown = JSON.parse(JSON.stringify(devicesOf(spec)));

  it('are those of the VM that it was', () => {
    expect(() => requireSameDevices({ ...spec, kernelArgs: 'other', uid: 7 }, saved)).not.toThrow();
  });

  it.each([
    ['more memory', { memMib: 512 }],
    ['another CPU', { vcpus: 1 }],
    ['another TAP', { net: { ...spec.net, tapName: 'tn3i6' } }],
    ['fewer drives', { drives: spec.drives.slice(0, 1) }],
    ['another run directory', { socketDir: '/run/other/vm/tn3i5' }],
  ])('are refused with %s', (_what, change) => {
    expect(() => requireSameDevices({ ...spec, ...change }, saved)).toThrow(
      expect.objectContaining({ reason: 'vmm.devices_changed' }),
    );
  });

  it.each([[undefined], [null], ['argv'], [[]]])('are refused as %j', (damaged) => {
    expect(() => requireSameDevices(spec, damaged)).toThrow(
      expect.objectContaining({ reason: 'vmm.devices_changed' }),
    );
  });
});
