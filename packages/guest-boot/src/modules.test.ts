import { describe, expect, it } from 'vitest';
import { type KernelModule, orderModules, parseDependencies } from './modules.js';

function modules(dependencies: Record<string, string[]>): Map<string, KernelModule> {
  return new Map(
    Object.entries(dependencies).map(([name, dependsOn]) => [
      name,
      { name, fileName: `${name}.ko`, data: Buffer.alloc(0), dependsOn },
    ]),
  );
}

describe('orderModules', () => {
  const available = modules({
    virtio_ring: [],
    virtio: ['virtio_ring'],
    virtio_net: ['net_failover', 'virtio'],
    net_failover: ['failover'],
    failover: [],
    unused: [],
  });

  it('puts whatever a module depends on before it, once, and nothing else', () => {
    const names = orderModules(available, ['virtio_net', 'virtio']).map((module) => module.name);
    expect([...names].sort()).toEqual(['failover', 'net_failover', 'virtio', 'virtio_net', 'virtio_ring']);
    for (const name of names) {
      for (const dependency of available.get(name)?.dependsOn ?? []) {
        expect(names.indexOf(dependency)).toBeLessThan(names.indexOf(name));
      }
    }
  });

  it('names the missing module and who needs it', () => {
    expect(() => orderModules(modules({ a: ['b'], b: ['c'] }), ['a'])).toThrow(/module c, which a → b needs/);
  });

  it('does not follow a circle for ever', () => {
    expect(() => orderModules(modules({ a: ['b'], b: ['a'] }), ['a'])).toThrow();
  });
});

describe('parseDependencies', () => {
  it('reads the field, and only the field', () => {
    const info = Buffer.from('\x7fELF\0license=GPL\0depends=virtio,virtio-ring\0name=x\0', 'latin1');
    expect(parseDependencies(info)).toEqual(['virtio', 'virtio_ring']);
    expect(parseDependencies(Buffer.from('\0depends=\0name=x\0'))).toEqual([]);
    expect(parseDependencies(Buffer.from('__UNIQUE_ID_depends198\0'))).toEqual([]);
  });
});
