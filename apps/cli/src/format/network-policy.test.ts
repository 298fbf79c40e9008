import { expect, test } from 'vitest';
import { networkPolicyFields } from './network-policy.js';
import { renderFields } from './table.js';

test('a policy is told by the fields that it sets', () => {
  const text = renderFields(
    networkPolicyFields({
      egress: 'none',
      allow: [
        { cidr: '10.1.0.0/16', protocol: 'tcp', first_port: 443 },
        { cidr: '10.2.0.0/16', protocol: 'udp', first_port: 5000, last_port: 5010 },
        { cidr: '10.3.0.0/16', protocol: 'icmp' },
      ],
      deny: [],
      isolate_instances: true,
      limits: {
        new_connections_per_second: 50,
        connections: 100,
        packets_per_second: 0,
        bandwidth_kbit: 10_000,
      },
      publish: [
        { protocol: 'tcp', host_port: 8443, guest_port: 443 },
        { protocol: 'udp', host_port: 53, guest_port: 5353, instance_id: 'dns' },
      ],
    }),
  );
  expect(text.split('\n')).toEqual([
    'Egress:     none',
    'Allow:      10.1.0.0/16 tcp/443, 10.2.0.0/16 udp/5000-5010, 10.3.0.0/16 icmp',
    'Deny:       nothing',
    'Instances:  kept from each other',
    'Limits:     50 new connections/s, 100 connections, no limit of packets/s, 10000 kbit/s',
    'Publish:    tcp 8443 → first running:443, udp 53 → dns:5353',
    '',
  ]);
});

test('what a policy leaves out is not shown', () => {
  expect(renderFields(networkPolicyFields({ limits: {} }))).toBe('\n');
  expect(renderFields(networkPolicyFields({ egress: 'open', isolate_instances: false }))).toBe(
    'Egress:     open\nInstances:  reach each other\n',
  );
});
