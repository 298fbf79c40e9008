import { readFileSync, statSync } from 'node:fs';

/** A group with everybody who is in it: listed in the group file, or having it as primary group. */
export interface GroupMembers {
  readonly gid: number;
  readonly uids: ReadonlySet<number>;
}

/** The group `name` out of the texts of /etc/group and /etc/passwd, or null. Source: group(5), passwd(5). */
export function findGroup(name: string, groupText: string, passwdText: string): GroupMembers | null {
  const line = groupText.split('\n').find((entry) => entry.startsWith(`${name}:`));
  const [, , gidText, members = ''] = line?.split(':') ?? [];
  if (gidText === undefined || !/^\d+$/.test(gidText)) return null;
  const gid = Number(gidText);
  const listed = new Set(members.split(',').filter((member) => member !== ''));
  const uids = new Set<number>();
  for (const entry of passwdText.split('\n')) {
    const [user, , uid, primaryGid] = entry.split(':');
    if (user === undefined || uid === undefined || !/^\d+$/.test(uid)) continue;
    if (listed.has(user) || primaryGid === gidText) uids.add(Number(uid));
  }
  return { gid, uids };
}

/**
 * Looks a group up in the local account files, reading them again only when they have changed. Groups that come from
 * elsewhere (LDAP) are not seen: name their users by `allow-uid`, or make the group their primary one.
 */
export function createGroupLookup(
  name: string,
  paths = { group: '/etc/group', passwd: '/etc/passwd' },
): () => GroupMembers | null {
  let known: { stamp: string; members: GroupMembers | null } | null = null;
  const stampOf = (path: string): string => {
    const { mtimeMs, size, ino } = statSync(path);
    return `${ino}:${size}:${mtimeMs}`;
  };
  return () => {
    const stamp = `${stampOf(paths.group)} ${stampOf(paths.passwd)}`;
    if (known?.stamp !== stamp) {
      const members = findGroup(name, readFileSync(paths.group, 'utf8'), readFileSync(paths.passwd, 'utf8'));
      known = { stamp, members };
    }
    return known.members;
  };
}
