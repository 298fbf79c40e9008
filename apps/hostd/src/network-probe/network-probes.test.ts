import { expect, it } from 'vitest';
import { reachable } from './network-probes.js';

it.each([
  [undefined, false],
  [{}, false],
  [{ egress: 'internet' }, false],
  [{ egress: 'none' }, false],
  [{ egress: 'open' }, true],
  [{ allow: [{ cidr: '192.168.0.0/16' }] }, true],
  [{ egress: 'none', allow: [{ cidr: '192.168.255.254/32', protocol: 'tcp', first_port: 443 }] }, true],
  [{ allow: [{ cidr: '172.16.0.0/12' }] }, false],
  // A denial is no reason to try: the probe is left out where something may pass, whatever else is said.
  [{ egress: 'open', deny: [{ cidr: '192.168.0.0/16' }] }, true],
] as const)('of %j, 192.168.255.254 may be reached: %s', (policy, expected) => {
  expect(reachable(policy as Parameters<typeof reachable>[0])('192.168.255.254')).toBe(expected);
});
