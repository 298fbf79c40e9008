/**
 * What the fields of a desired state mean, by their path without `tenants.pools.` and `tenants.`; the network policies of
 * tenants and pools have one entry (`policy.…`), and so have their lists of rules (`policy.rule.…`). A test compares the
 * paths with the schema.
 */
export const MEANINGS: Readonly<Record<string, string>> = {
  schema_version: 'The version of this format: 1.',
  node_id: 'A name for this host; it is shown, and chooses nothing.',
  prune_unknown_tenants:
    'Remove tenants that are on the host and not in this document, with all their instances and disks.',
  prune_unknown_pools:
    'Remove pools that are on the host and not in this document, with all their instances and disks.',
  sequence:
    'A counter of whoever writes the document: one with a lower sequence is refused. Absent or 0: any order.',
  tenants:
    'The tenants of this host. Tenants share nothing: each has a network, quotas, keys and secrets of its own.',
  tenant_id: 'The name of the tenant: 1 to 63 of a-z, 0-9 and "-".',
  network: "The tenant's network: a bridge with NAT.",
  'network.tenant_net_id':
    'The number of the network, unique in the cluster, 0 to 4095. It cannot change while the tenant has instances.',
  'network.ipv4_subnet':
    "The tenant's subnet, inside the range of the host, such as 10.240.3.0/24. The first address is the gateway's.",
  quotas: 'What the tenant may use at most. Counts beyond the quotas are refused.',
  'quotas.max_vcpus': 'vCPUs of its running and warm instances together.',
  'quotas.max_mem_mib': 'Memory of its running and warm instances together, in MiB.',
  'quotas.max_running': 'Running and warm instances.',
  'quotas.max_warm': 'Warm instances.',
  'quotas.max_pools': 'Pools.',
  'quotas.max_instances_per_pool': 'Instances of one pool, stopped and sleeping ones included.',
  'quotas.max_disk_gib': 'Data disks of its instances together, in GiB.',
  secrets_hash: "A hash of the tenant's secrets, opaque to mvm.",
  preferred_regions: 'Kept and not honoured: mvm runs this host only.',
  pools: "The tenant's pools. The instances of a pool are alike.",
  pool_id: 'The name of the pool: 1 to 63 of a-z, 0-9 and "-".',
  flake_ref:
    'The image that the instances boot: the name of a registered image, or name@sha256:<digest>. See mvm image list.',
  profile: 'A label; it is recorded and shown.',
  role: 'worker, gateway, builder or capability-<name>. It is recorded and shown.',
  instance_resources: 'What each instance gets. Changes apply to later starts.',
  'instance_resources.vcpus': 'vCPUs.',
  'instance_resources.mem_mib': "The guest's memory in MiB.",
  'instance_resources.data_disk_mib':
    'Size of the data disk in MiB, which is kept when an instance stops; 0: none.',
  desired_counts: 'How many instances the pool shall have in each state.',
  'desired_counts.running': 'Instances that run.',
  'desired_counts.warm': 'Instances whose vCPUs are stopped and whose memory is kept: they resume at once.',
  'desired_counts.sleeping':
    'Instances whose memory is on disk: they wake within seconds, and use no memory until then.',
  runtime_policy: 'How carefully the instances are stopped.',
  'runtime_policy.min_running_seconds': 'An instance runs at least so long before agentd stops it.',
  'runtime_policy.min_warm_seconds': 'An instance is warm at least so long before agentd puts it to sleep.',
  'runtime_policy.drain_timeout_seconds': 'How long a guest may finish its work before it is put to sleep.',
  'runtime_policy.graceful_shutdown_seconds':
    'How long a guest may take to shut down before its virtual machine is ended.',
  seccomp_policy: 'baseline. The other value, strict, is refused, because mvm cannot enforce it.',
  snapshot_compression: 'How the memory of sleeping instances is compressed: none, lz4 or zstd.',
  secret_scopes:
    "Which of the tenant's secrets the guests get: names, or beginnings of names followed by *. See mvm secret set.",
  'secret_scopes.integration':
    'The integration whose secrets these are. The keys count; all are in one directory of the guest.',
  'secret_scopes.keys': 'Names of secrets; an empty list means all of them.',
  command: "Program and arguments in place of the image's. An empty list: the guest waits for mvm exec.",
  env: "Environment variables, added to the image's; equal names replace.",
  user: "The user in the guest in place of the image's: user, uid, user:group or uid:gid.",
  health: 'How the guest finds out whether its program works.',
  'health.command': 'Program and arguments of the check. An empty list: no check.',
  'health.interval_secs': 'Seconds between two checks (default 30).',
  'health.timeout_secs': 'A check that takes longer has failed (default 30).',
  'health.retries': 'So many failures in a row make the guest unhealthy (default 3).',
  'health.start_period_secs': 'Failures in the first so many seconds do not count.',
  'health.on_unhealthy': 'report: it is shown. stop: the guest shuts down, and restart says what follows.',
  restart: 'When an instance is started again whose guest has ended by itself.',
  'restart.policy': 'always; on-failure: not when the main process has ended with 0; no: never.',
  'restart.max_retries': 'So often in a row; then the instance stays stopped. Absent: no limit.',
  'restart.backoff_secs':
    "Wait before the first start again, doubled for each failure in a row. Absent: agentd's setting.",
  'restart.max_backoff_secs': "The longest such wait. Absent: agentd's setting.",
  on_panic:
    'What becomes of an instance whose kernel has panicked: restart (as of any failure) or stop (left as it is, to be looked at).',
  destroy_stopped_after_seconds:
    'Destroy instances beyond the counts, with their disks, once they are stopped for so long. Absent: keep them until mvm prune.',
  sleep_policy: 'Put idle instances to sleep, and wake them when they are needed. Absent: never.',
  'sleep_policy.warm_threshold_secs':
    'Idle for so long: the vCPUs are stopped. Null: it goes straight to sleep.',
  'sleep_policy.sleep_threshold_secs':
    'Idle for so long, the warm time included: it is put to sleep. Null: never.',
  'sleep_policy.cpu_threshold': 'Percent of one host CPU that an idle instance uses at most.',
  'sleep_policy.net_bytes_threshold': 'Bytes per second that an idle instance receives and sends at most.',
  'sleep_policy.min_running': 'So many of the pool run on, however idle they are.',
  'sleep_policy.wake_on_connect': 'A connection to a published TCP port wakes an instance when none runs.',
  routing_table:
    'Kept and not honoured: mvm routes no requests. network_policy.publish leads a host port to a guest.',
  default_update_strategy:
    'Kept and not honoured: running instances keep their image until they restart (mvm restart).',
  registry_artifact: 'Kept and not honoured: the pool boots the image that flake_ref names.',
  policy: "What the guests may do on the network. A pool's fields replace the tenant's one by one.",
  'policy.egress':
    'What guests reach outside their tenant: none, internet (public addresses) or open (whatever the uplinks reach).',
  'policy.allow': 'Exceptions: what guests may reach nevertheless.',
  'policy.deny': 'What guests may not reach; it comes before allow.',
  'policy.rule.cidr': 'A network in CIDR form, such as 203.0.113.0/24.',
  'policy.rule.protocol': 'tcp, udp or icmp. Absent: all.',
  'policy.rule.first_port': 'The only port, or with last_port the first one.',
  'policy.rule.last_port': 'The last port.',
  'policy.isolate_instances': 'Whether the instances of a tenant cannot reach each other.',
  'policy.limits': 'How much each instance may use of the network.',
  'policy.limits.new_connections_per_second': 'New connections per second.',
  'policy.limits.new_connections_burst': 'So many at once before that limit applies.',
  'policy.limits.connections': 'Connections at one time.',
  'policy.limits.packets_per_second': 'Packets per second.',
  'policy.limits.bandwidth_kbit': 'Bandwidth in kbit per second.',
  'policy.publish': 'Ports of the host that lead to the guests of the pool.',
  'policy.publish.protocol': 'tcp or udp.',
  'policy.publish.host_port': 'The port of the host; hostd must allow it.',
  'policy.publish.guest_port': 'The port of the guest.',
  'policy.publish.instance_id':
    'The instance that gets the connections. Absent: the running one with the lowest address.',
};

/** The key in {@link MEANINGS} of a path such as `tenants.pools.network_policy.deny.cidr`. Pure. */
export function meaningKey(path: string): string {
  return path
    .replace(/^tenants\.(pools\.(?=.))?(?=.)/, '')
    .replace(/^(network\.policy|network_policy)(?=\.|$)/, 'policy')
    .replace(/^policy\.(allow|deny)\.(?=.)/, 'policy.rule.');
}
