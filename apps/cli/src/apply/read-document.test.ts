import { describe, expect, it } from 'vitest';
import { parseDocument } from './read-document.js';

const VALID = `schema_version: 1
node_id: node-1
tenants:
  - tenant_id: acme
    network: { tenant_net_id: 3, ipv4_subnet: 10.240.3.0/24 }
    quotas:
      max_vcpus: 16
      max_mem_mib: 32768
      max_running: 8
      max_warm: 4
      max_pools: 4
      max_instances_per_pool: 16
      max_disk_gib: 100
    pools:
      - pool_id: web
        flake_ref: demo
        instance_resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 0 }
        desired_counts: { running: 2, warm: 0, sleeping: 0 }
`;

function problem(text: string | Uint8Array): { message: string; reason: string } {
  try {
    parseDocument('state.yaml', typeof text === 'string' ? Buffer.from(text) : text);
  } catch (error) {
    return error as { message: string; reason: string };
  }
  throw new Error('accepted');
}

describe('parseDocument', () => {
  it('takes YAML and JSON alike', () => {
    const value = parseDocument('state.yaml', Buffer.from(VALID));
    expect(parseDocument('state.json', Buffer.from(JSON.stringify(value)))).toEqual(value);
    expect(value).toMatchObject({ schema_version: 1, tenants: [{ tenant_id: 'acme' }] });
  });

  it.each([
    [
      'a value out of range',
      VALID.replace('{ vcpus: 1,', '{ vcpus: 99,'),
      'state.yaml:17:31: tenants[0].pools[0].instance_resources.vcpus: ',
    ],
    [
      'an unknown field',
      VALID.replace('flake_ref: demo', 'flake_ref: demo\n        flavour: x'),
      'state.yaml:17:9: tenants[0].pools[0].flavour: there is no such field',
    ],
    [
      'a missing field, at what should hold it',
      VALID.replace('        flake_ref: demo\n', ''),
      'state.yaml:15:9: tenants[0].pools[0].flake_ref: ',
    ],
    [
      'a bad id',
      VALID.replace('tenant_id: acme', 'tenant_id: ../x'),
      'state.yaml:4:5: tenants[0].tenant_id: ',
    ],
    ['a wrong type', VALID.replace('node_id: node-1', 'node_id: [1]'), 'state.yaml:2:1: node_id: '],
    ['a list that is none', VALID.replace(/tenants:[\s\S]*/, 'tenants: 5\n'), 'state.yaml:3:1: tenants: '],
  ])('names file, line and path of %s', (_what, text, start) => {
    const { message, reason } = problem(text);
    expect(reason).toBe('apply.invalid');
    expect(message.startsWith(start), message).toBe(true);
  });

  it('lists several findings, and says when there are more', () => {
    const { message } = problem(VALID.replace('{ vcpus: 1,', '{ vcpus: 99,').replace('acme', 'A'));
    expect(message.split('\n')).toHaveLength(3);
    const many = Array.from({ length: 30 }, (_, index) => `field_${index}: 1\n`).join('');
    expect(problem(VALID + many).message).toContain('and 20 more');
  });

  it.each([
    ['no YAML', 'a: [1\nb: 2', /^state\.yaml( cannot be applied:\nstate\.yaml)?:\d+:\d+: /],
    ['a field twice', `${VALID}node_id: other\n`, /^state\.yaml:19:1: .*unique/i],
    ['a second document', `${VALID}---\n${VALID}`, /^state\.yaml:\d+: a second document/],
    ['an empty file', '', /empty/],
    ['a comment only', '# nothing\n', /empty/],
    [
      'aliases that expand to too much',
      Array.from(
        { length: 8 },
        (_, i) =>
          `a${i}: &a${i} [${Array(10)
            .fill(i === 0 ? 'x' : `*a${i - 1}`)
            .join(', ')}]\n`,
      ).join(''),
      /alias/,
    ],
  ])('refuses %s', (_what, text, message) => {
    const error = problem(text);
    expect(error.reason).toBe('apply.syntax');
    expect(error.message).toMatch(message);
  });

  it('refuses what is not UTF-8', () => {
    expect(problem(Uint8Array.of(0xff, 0xfe, 0x61)).message).toContain('not UTF-8');
  });
});
