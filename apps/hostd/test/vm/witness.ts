import { execFileSync } from 'node:child_process';

/**
 * Counts frames that leave the host towards a guest, in an nftables table of the test's own behind everything else: what
 * a guest was sent shows here whatever it makes of it.
 */
export interface Witness {
  /** Frames seen since the last call, by name. */
  seen(): Record<string, number>;
  close(): void;
}

/**
 * @param tap the guest's port
 * @param frames names with what a frame must match, as nftables says it, e.g. `ether saddr 02:12:34:56:78:9a`
 */
export function createWitness(tap: string, frames: Readonly<Record<string, string>>): Witness {
  const names = Object.keys(frames);
  const script = [
    'table bridge witness {',
    ...names.map((name) => `counter ${name} { }`),
    'chain post { type filter hook postrouting priority 300; policy accept;',
    ...names.map((name) => `oifname "${tap}" ${frames[name]} counter name ${name}`),
    '}',
    '}',
  ];
  execFileSync('nft', ['-f', '-'], { input: script.join('\n') });
  return {
    seen: () => {
      const text = execFileSync('nft', ['-j', 'reset', 'counters', 'table', 'bridge', 'witness'], {
        encoding: 'utf8',
      });
      const { nftables } = JSON.parse(text) as {
        nftables: { counter?: { name: string; packets: number } }[];
      };
      return Object.fromEntries(
        nftables.flatMap(({ counter }) => (counter === undefined ? [] : [[counter.name, counter.packets]])),
      );
    },
    close: () => {
      execFileSync('nft', ['delete', 'table', 'bridge', 'witness']);
    },
  };
}
