import { describe, expect, it } from 'vitest';
import { findHierarchies } from './hierarchies.js';

const v1 = (controllers: string, root: string): string =>
  `33 31 0:30 / ${root} rw,relatime - cgroup cgroup rw,${controllers}`;
const v2 = (root: string): string =>
  `41 31 0:38 / ${root} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate`;
const all = (): string => 'cpuset cpu io memory hugetlb pids rdma misc\n';

describe('findHierarchies', () => {
  it('takes version 2 when its tree has the controllers', () => {
    expect(findHierarchies(v2('/sys/fs/cgroup'), all)).toEqual({ version: 2, root: '/sys/fs/cgroup' });
  });

  it('takes version 1 on a hybrid host, whose version 2 tree has none', () => {
    const mounts = [
      v1('cpu,cpuacct', '/sys/fs/cgroup/cpu,cpuacct'),
      v1('memory', '/sys/fs/cgroup/memory'),
      v1('pids', '/sys/fs/cgroup/pids'),
      v2('/sys/fs/cgroup/unified'),
    ].join('\n');
    expect(findHierarchies(mounts, () => 'hugetlb\n')).toEqual({
      version: 1,
      roots: {
        cpu: '/sys/fs/cgroup/cpu,cpuacct',
        memory: '/sys/fs/cgroup/memory',
        pids: '/sys/fs/cgroup/pids',
      },
    });
  });

  it('names what is missing', () => {
    expect(() => findHierarchies(v1('pids', '/sys/fs/cgroup/pids'), all)).toThrowError(
      /missing: memory, cpu/,
    );
    expect(() => findHierarchies('', all)).toThrowError(
      expect.objectContaining({ reason: 'cgroup.unavailable' }),
    );
  });
});
