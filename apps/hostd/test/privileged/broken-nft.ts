import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What the next calls of `nft -f -` meet, one each. `refuse`: the kernel gets the script with one object more that is not
 * there, and refuses all of it. `late`: it takes it, and nft says that it failed. `kill-before`, `kill-after`: hostd is
 * killed when the script is there, or when the kernel has taken it.
 */
export type NftFault = 'refuse' | 'late' | 'kill-before' | 'kill-after';

/** The host's nft, which fails when it is told to. */
export interface BrokenNft {
  /** Replaces what was set before. */
  next(...faults: readonly NftFault[]): void;
  /** Faults that no call has met yet. */
  left(): number;
  /** Whether what the kernel has can be listed. */
  blind(on: boolean): void;
  /** Takes it away again. */
  close(): void;
}

const PROGRAM = '/usr/sbin/nft';

/** Puts it in nft's place for the mount namespace of the caller, which must be a test's own. */
export function breakNft(dir: string): BrokenNft {
  mkdirSync(dir, { recursive: true });
  const at = (name: string) => join(dir, name);
  copyFileSync(PROGRAM, at('nft-real'));
  chmodSync(at('nft-real'), 0o755);
  writeFileSync(at('faults'), '');
  const script = `#!/bin/sh
real=${at('nft-real')}
[ "$*" = "-f -" ] || { [ ! -e ${at('blind')} ] || { echo 'Error: cannot list' >&2; exit 1; }; exec $real "$@"; }
text=$(cat)
[ -n "$text" ] || exit 0
read -r fault < ${at('faults')}
sed -i 1d ${at('faults')}
case $fault in
  refuse) text="$text
add rule inet mvm no_such_chain accept" ;;
  kill-before) kill -9 $PPID; exit 1 ;;
esac
printf '%s\\n' "$text" | $real -f - || exit
case $fault in
  late) echo 'Error: said to have failed' >&2; exit 1 ;;
  kill-after) kill -9 $PPID; exit 1 ;;
esac
`;
  writeFileSync(at('nft'), script, { mode: 0o755 });
  execFileSync('mount', ['--bind', at('nft'), PROGRAM]);
  return {
    next: (...faults) => writeFileSync(at('faults'), faults.map((fault) => `${fault}\n`).join('')),
    left: () => readFileSync(at('faults'), 'utf8').split('\n').filter(Boolean).length,
    blind: (on) => (on ? writeFileSync(at('blind'), '') : rmSync(at('blind'), { force: true })),
    close: () => {
      execFileSync('umount', ['--lazy', PROGRAM]);
    },
  };
}
