import { describe, expect, it } from 'vitest';
import { diffDesired } from './diff-desired.js';

const pool = (pool_id: string, running: number) => ({ pool_id, desired_counts: { running, warm: 0 } });
const state = (...pools: object[]) => ({
  node_id: 'n',
  tenants: [{ tenant_id: 'acme', quotas: { max_running: 4 }, pools }],
});

describe('what differs between two desired states', () => {
  it('is nothing when only the order does', () => {
    expect(diffDesired(state(pool('a', 1), pool('b', 2)), state(pool('b', 2), pool('a', 1)))).toEqual([]);
  });

  it('is named by object and field, old and new', () => {
    expect(diffDesired(state(pool('a', 2)), state(pool('a', 3)))).toEqual([
      { object: 'acme/a', field: 'desired_counts.running', from: '2', to: '3' },
    ]);
  });

  it('is a whole object that comes or goes', () => {
    expect(diffDesired(state(pool('a', 1)), state(pool('b', 1)))).toEqual([
      { object: 'acme/a', field: '(all)', from: 'there', to: undefined },
      { object: 'acme/b', field: '(all)', from: undefined, to: 'new' },
    ]);
    expect(diffDesired({ tenants: [] }, state())).toEqual([
      { object: 'acme', field: '(all)', from: undefined, to: 'new' },
      { object: 'host', field: 'node_id', from: undefined, to: '"n"' },
    ]);
  });
});
