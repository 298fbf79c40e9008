import { badLayer } from '../errors.js';

/** Tags of a POSIX ACL's entries. Source: Linux, include/uapi/linux/posix_acl.h. */
const TAGS = { userObj: 0x01, user: 0x02, groupObj: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;
const VERSION = 2;
const NO_ID = 0xffffffff;

interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  readonly id: number;
}

/**
 * A POSIX ACL as text (`user::rwx,user:app:r-x:1000,mask::rwx,…`) in the form of the attribute
 * `system.posix_acl_access`. Named entries need a number, as a fourth field or in place of the name: the names of
 * another machine mean nothing. Throws `image.bad_layer`. Source: star(4), SCHILY.acl.access; Linux, posix_acl_xattr.h.
 */
export function parseAclText(text: string): Buffer {
  const entries = text
    .split(/[,\n]/)
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
    .map(parseEntry)
    .sort((a, b) => a.tag - b.tag || a.id - b.id);
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(VERSION, 0);
  entries.forEach(({ tag, permissions, id }, index) => {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(permissions, 6 + 8 * index);
    value.writeUInt32LE(id, 8 + 8 * index);
  });
  return value;
}

function parseEntry(line: string): AclEntry {
  const [kind = '', who = '', rights = '', number] = line.split(':');
  if (!/^[r-][w-][xX-]$/.test(rights)) throw badLayer('an access control list is malformed');
  const permissions = (rights[0] === 'r' ? 4 : 0) + (rights[1] === 'w' ? 2 : 0) + (rights[2] === '-' ? 0 : 1);
  if (who === '') {
    const tag = { user: TAGS.userObj, group: TAGS.groupObj, mask: TAGS.mask, other: TAGS.other }[kind];
    if (tag === undefined) throw badLayer('an access control list is malformed');
    return { tag, permissions, id: NO_ID };
  }
  const tag = { user: TAGS.user, group: TAGS.group }[kind];
  const id = number ?? who;
  if (tag === undefined || !/^\d{1,10}$/.test(id) || Number(id) >= NO_ID) {
    throw badLayer('an access control list names someone without a number');
  }
  return { tag, permissions, id: Number(id) };
}
