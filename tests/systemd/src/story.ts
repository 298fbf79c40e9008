/** A guest, and the tests that are steps of one story in it: each builds on the guest as the one before has left it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buildGuestImage } from '@mvm/guest-image';
import { until } from '@mvm/node-host';
import { afterAll, beforeAll, it, onTestFailed } from 'vitest';
import { buildBaseImage } from './base-image.js';
import { bootGuest, type Guest } from './guest.js';

/** The repository's root. */
export const REPO = join(import.meta.dirname, '../../..');
/** An emulated machine starts a daemon in ten seconds, on busy cores in minutes. */
const PATIENCE_MS = 900_000;
const DIAGNOSIS =
  'systemctl status --no-pager -n0 "mvm*"; journalctl -o short-monotonic --no-pager -n 100; tail -n 15 /var/lib/mvm/tenants/*/pools/*/instances/*/runtime/console.log';

export interface Story {
  guest(): Guest;
  /** A test. When it fails it prints the guest's journal, and the steps after it are skipped. */
  step(name: string, body: () => Promise<void>): void;
  /** See `Guest.ok`, with patience. */
  ok(script: string): Promise<string>;
  /** Asks until there is an answer. */
  until<T>(what: string, find: () => Promise<T>): Promise<NonNullable<T>>;
}

/**
 * Boots a guest before the tests of a file, and ends it after them. `writeProduct` makes the disk image that is mounted on
 * /opt/mvm; it is given the repository's root, the directory of the demo's guest image, and the path to write to.
 */
export function tellStory(
  writeProduct: (repo: string, guestImage: string, output: string) => Promise<void>,
): Story {
  const began = performance.now();
  const progress = (what: string): void =>
    void process.stdout.write(`${((performance.now() - began) / 1000).toFixed(1)} s: ${what}\n`);
  let guest: Guest | undefined;
  let directory: string;
  let failed: string | null = null;
  const running = (): Guest => {
    if (guest === undefined) throw new Error('the guest is not up');
    return guest;
  };

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mvm-systemd-test-'));
    const image = await buildBaseImage(join(REPO, '.cache/systemd-guest'), progress);
    progress(image.built ? 'built the Debian guest' : 'found the Debian guest');
    const product = join(directory, 'product.ext4');
    const { kernel } = await buildGuestImage({ outDir: join(REPO, '.cache/guest-image') });
    await writeProduct(REPO, dirname(kernel), product);
    progress('made the disk with mvm');
    guest = await bootGuest(image, product, { timeoutMs: PATIENCE_MS });
    progress('the guest is up');
  }, 1_800_000);

  afterAll(async () => {
    await guest?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  return {
    guest: running,
    step: (name, body) => {
      it(name, { timeout: 2 * PATIENCE_MS }, async ({ skip }) => {
        if (failed !== null) skip(`an earlier step failed: ${failed}`);
        onTestFailed(async () => {
          failed = name;
          process.stdout.write((await running().run(DIAGNOSIS)).stdout);
        });
        await body();
        progress(name);
      });
    },
    ok: (script) => running().ok(script, { timeoutMs: PATIENCE_MS }),
    until: (what, find) => until(what, find, { timeoutMs: PATIENCE_MS, everyMs: 500 }),
  };
}

/** A desired state with one pool for each tenant; `counts` by tenant. */
export function desiredState(
  counts: Readonly<Record<string, { readonly running: number; readonly sleeping: number }>>,
): string {
  const tenants = Object.entries(counts).map(
    ([tenant, { running, sleeping }], index) => `  - tenant_id: ${tenant}
    network: { tenant_net_id: ${3 + index}, ipv4_subnet: 10.240.${3 + index}.0/24 }
    quotas: { max_vcpus: 4, max_mem_mib: 1024, max_running: 4, max_warm: 1, max_pools: 2, max_instances_per_pool: 4, max_disk_gib: 4 }
    pools:
      - pool_id: workers
        flake_ref: demo
        instance_resources: { vcpus: 1, mem_mib: 96, data_disk_mib: 16 }
        desired_counts: { running: ${running}, warm: 0, sleeping: ${sleeping} }`,
  );
  return `
schema_version: 1
node_id: test
prune_unknown_tenants: false
prune_unknown_pools: false
tenants:
${tenants.join('\n')}
`;
}

/** Registers the image in a directory below /opt/mvm as `demo`, and applies a desired state. */
export function addImageAndApply(directory: string, state: string): string {
  return `
      set -e
      cd ${directory}
      mvm image add demo --kernel vmlinux --initrd initrd.cpio --rootfs rootfs.ext4 --kernel-args \\
        "console=ttyS0 panic=-1 reboot=t random.trust_cpu=on cryptomgr.notests quiet"
${apply(state)}`;
}

/** A script that applies a desired state. */
export function apply(state: string): string {
  return `cat >/root/state.yaml <<'.'
${state}
.
mvm apply -f /root/state.yaml`;
}
