import { deriveTenantNet } from '@mvm/protocol/names';
import { describe, expect, it } from 'vitest';
import { type BlockedProbe, planBlockedProbes } from './blocked-probes.js';
import { evaluateProbe, type Sighting } from './evaluate-probe.js';

const probe: BlockedProbe = {
  name: 'p',
  frame: Buffer.alloc(60),
  sends: 'frames',
  counters: ['c_private', 'c_none'],
  answeredBy: '192.168.0.1',
  leaves: true,
};

function sighting(
  over: Partial<Omit<Sighting, 'before' | 'after'>>,
  rises: Record<string, number>,
): Sighting {
  const before = new Map([
    ['c_private', 10],
    ['c_none', 5],
  ]);
  const after = new Map([...before].map(([name, count]) => [name, count + (rises[name] ?? 0)]));
  return { answered: false, delivered: false, hasUplink: true, intact: false, before, after, ...over };
}

describe('a probe that must be blocked', () => {
  it.each([
    ['counted by its usual counter', {}, { c_private: 3 }, 'as_wanted', 'c_private'],
    ['counted by another that may', {}, { c_none: 4 }, 'as_wanted', 'c_none'],
    ['counted in part', {}, { c_private: 2 }, 'not_as_wanted', 'c_private'],
    ['counted by two, in part by each', {}, { c_private: 2, c_none: 1 }, 'not_as_wanted', 'c_private'],
    ['not counted', {}, {}, 'not_as_wanted', 'c_private'],
    ['not counted, while every rule of ours stands: by others', { intact: true }, {}, 'skipped', 'c_private'],
    [
      'answered, while every rule of ours stands',
      { intact: true, answered: true },
      {},
      'not_as_wanted',
      'c_private',
    ],
    ['counted, yet answered', { answered: true }, { c_private: 3 }, 'not_as_wanted', 'c_private'],
    ['counted, yet received', { delivered: true }, { c_private: 3 }, 'not_as_wanted', 'c_private'],
    ['not counted on a host without an uplink', { hasUplink: false }, {}, 'skipped', 'c_private'],
    [
      'answered on a host without an uplink',
      { hasUplink: false, answered: true },
      {},
      'not_as_wanted',
      'c_private',
    ],
  ] as const)('%s', (_what, over, rises, outcome, counter) => {
    expect(evaluateProbe(probe, sighting(over, rises))).toMatchObject({
      outcome,
      counter,
      expects: 'blocked',
    });
  });

  it('needs no count where no rule of ours is to see it', () => {
    const silent = { ...probe, counters: [], leaves: false };
    expect(evaluateProbe(silent, sighting({}, {})).outcome).toBe('as_wanted');
    expect(evaluateProbe(silent, sighting({ delivered: true }, {})).outcome).toBe('not_as_wanted');
  });
});

describe('the probes of a site', () => {
  const site = {
    net: deriveTenantNet(3, '10.240.3.0/24'),
    mac: '02:fc:00:03:00:02',
    ip: '10.240.3.2',
    gatewayMac: '02:fc:00:03:00:01',
    unusedOffset: 254,
    unusedIp: '10.240.3.254',
    hostAddresses: ['198.51.100.2'],
    other: { net: deriveTenantNet(4, '10.240.4.0/24'), ip: '10.240.4.2', mac: '02:fc:00:04:00:02' },
    mayReach: () => false,
  };

  it('have names of their own, and those that leave come last', () => {
    const probes = planBlockedProbes(site);
    const names = probes.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const firstLeaving = probes.findIndex(({ leaves }) => leaves);
    expect(probes.slice(firstLeaving).every(({ leaves }) => leaves)).toBe(true);
    expect(firstLeaving).toBeGreaterThan(10);
  });

  it('leave out what the policy allows, and other tenants where there are none', () => {
    const names = (over: object) => planBlockedProbes({ ...site, ...over }).map(({ name }) => name);
    expect(names({ mayReach: (address: string) => address.startsWith('192.168.') })).not.toContain(
      'private-192',
    );
    expect(names({ mayReach: () => true }).some((name) => name === 'metadata')).toBe(false);
    expect(names({ other: null }).filter((name) => name.startsWith('other-'))).toEqual([]);
  });

  it('that leave die at the next router', () => {
    for (const { frame } of planBlockedProbes(site).filter(({ leaves }) => leaves)) {
      expect(frame.readUInt8(14 + 8)).toBe(2);
    }
  });
});
