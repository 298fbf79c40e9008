import { CodedError } from '@mvm/protocol';
import type { GroupMembers, PeerCredentials } from '@mvm/unix-peer';

/** Decides who may use hostd. */
export interface AccessPolicy {
  /** Throws `permission_denied`, reason `peer.not_allowed`, unless the peer may use hostd. */
  check(peer: PeerCredentials): void;
}

/**
 * Who may connect, exactly: uid 0; a uid in `allowUids`; a peer whose effective group at connect is the configured
 * group; a uid whose account has that group as primary group or is listed as its member. A group that does not exist
 * admits no group member, and so does an account file that cannot be read.
 */
export function createAccessPolicy(options: {
  allowUids: readonly number[];
  groupName: string;
  group: () => GroupMembers | null;
}): AccessPolicy {
  const allowed = new Set([0, ...options.allowUids]);
  const isMember = (peer: PeerCredentials): boolean => {
    try {
      const group = options.group();
      return group !== null && (peer.gid === group.gid || group.uids.has(peer.uid));
    } catch {
      return false;
    }
  };
  return {
    check: (peer) => {
      if (allowed.has(peer.uid) || isMember(peer)) return;
      throw new CodedError({
        code: 'permission_denied',
        reason: 'peer.not_allowed',
        message: `user ${peer.uid} (group ${peer.gid}) may not use hostd`,
        hint: `Run as root or as a member of group "${options.groupName}", or start hostd with --allow-uid ${peer.uid}.`,
        details: { uid: peer.uid, gid: peer.gid },
      });
    },
  };
}
