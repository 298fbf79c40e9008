import { CodedError } from '@mvm/protocol';
import type { GroupMembers, PeerCredentials } from '@mvm/unix-peer';

/** What a caller may do: `operator` everything, `viewer` only what changes nothing. */
export type Role = 'operator' | 'viewer' | 'none';

export interface AccessOptions {
  /** Members are operators; null: there is no such group. Read again for each caller. */
  readonly operators: () => GroupMembers | null;
  /** Members are viewers. */
  readonly viewers: () => GroupMembers | null;
  /** agentd's own user, who may do everything that agentd may. */
  readonly ownUid: number;
}

/** The caller's role. Root, and agentd's own user, are operators. When a file of accounts cannot be read, no other caller is admitted. */
export function roleOf({ uid, gid }: PeerCredentials, options: AccessOptions): Role {
  if (uid === 0 || uid === options.ownUid) return 'operator';
  const isIn = (lookup: () => GroupMembers | null): boolean => {
    try {
      const group = lookup();
      return group !== null && (group.gid === gid || group.uids.has(uid));
    } catch {
      return false;
    }
  };
  if (isIn(options.operators)) return 'operator';
  return isIn(options.viewers) ? 'viewer' : 'none';
}

/** Throws `permission_denied`, reason `peer.not_allowed`, unless the role may send a request with this HTTP method. */
export function checkAccess(role: Role, method: string, peer: PeerCredentials): void {
  if (role === 'operator' || (role === 'viewer' && (method === 'GET' || method === 'HEAD'))) return;
  throw new CodedError({
    code: 'permission_denied',
    reason: 'peer.not_allowed',
    message:
      role === 'viewer'
        ? `user ${peer.uid} may look, and change nothing`
        : `user ${peer.uid} may not use mvm-agentd`,
    hint: 'Members of the group of operators may change things: operators_group in the settings of mvm-agentd.',
    details: { uid: peer.uid, gid: peer.gid },
  });
}
