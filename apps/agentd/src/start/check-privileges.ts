import { readFileSync } from 'node:fs';
import { CodedError } from '@mvm/protocol';

/** This process's privileges, as the kernel reports them. */
export interface Privileges {
  readonly uid: number;
  /** The effective capability set, a bit per capability. Source: capabilities(7), proc_pid_status(5). */
  readonly effectiveCapabilities: bigint;
}

/** Parses `/proc/self/status`; throws for a text without `Uid` or `CapEff`. */
export function parsePrivileges(status: string): Privileges {
  // The second number of `Uid:` is the effective one.
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
  const capabilities = /^CapEff:\s+([0-9a-f]+)/m.exec(status)?.[1];
  if (uid === undefined || capabilities === undefined)
    throw new Error('/proc/self/status has no Uid or CapEff');
  return { uid: Number(uid), effectiveCapabilities: BigInt(`0x${capabilities}`) };
}

export function readPrivileges(): Privileges {
  return parsePrivileges(readFileSync('/proc/self/status', 'utf8'));
}

/**
 * Refuses privileges that agentd does not need: `failed_precondition`, reason `privileges.root` or
 * `privileges.capabilities`. It reads users' files and serves an API; hostd is the one that may change the host.
 */
export function checkPrivileges({ uid, effectiveCapabilities }: Privileges): void {
  if (uid === 0) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'privileges.root',
      message: 'mvm-agentd refuses to run as root: it needs no privileges',
      hint: 'Start it as the user mvm (systemctl start mvm-agentd, or setpriv --reuid mvm --regid mvm --init-groups …), or add --allow-root to try things out.',
    });
  }
  if (effectiveCapabilities === 0n) return;
  const shown = effectiveCapabilities.toString(16).padStart(16, '0');
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'privileges.capabilities',
    message: `mvm-agentd refuses to run with capabilities: its effective set is ${shown}`,
    hint: `Start it without any (remove AmbientCapabilities from its unit, or setpriv --inh-caps=-all --ambient-caps=-all …); to see which they are: capsh --decode=${shown}`,
    details: { cap_eff: shown },
  });
}
