import { expect, it } from 'vitest';
import { checkPrivileges, parsePrivileges, readPrivileges } from './check-privileges.js';

const status = (uid: string, capabilities: string) =>
  `Name:\tnode\nUid:\t${uid}\nGid:\t1\t1\t1\t1\nCapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t${capabilities}\n`;

it('reads the effective user id and the effective set', () => {
  expect(parsePrivileges(status('1000\t33\t0\t0', '00000000a80425fb'))).toEqual({
    uid: 33,
    effectiveCapabilities: 0xa80425fbn,
  });
  expect(readPrivileges().uid).toBe(process.geteuid?.());
  expect(() => parsePrivileges('Name:\tnode\n')).toThrow(/CapEff/);
});

it('refuses root, and any capability', () => {
  expect(() => checkPrivileges({ uid: 1000, effectiveCapabilities: 0n })).not.toThrow();
  expect(() => checkPrivileges({ uid: 0, effectiveCapabilities: 0n })).toThrow(
    expect.objectContaining({ reason: 'privileges.root', hint: expect.stringContaining('--allow-root') }),
  );
  expect(() => checkPrivileges({ uid: 1000, effectiveCapabilities: 1n << 12n })).toThrow(
    expect.objectContaining({ reason: 'privileges.capabilities', details: { cap_eff: '0000000000001000' } }),
  );
});
