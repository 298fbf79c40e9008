import { badLayer, limitExceeded } from '../errors.js';
import type { ImageLimits } from '../limits.js';
import { parseAclText } from './acl.js';
import { parseDecimal, parseTime } from './numbers.js';
import type { PaxRecord } from './pax.js';

const XATTR_PREFIX = 'SCHILY.xattr.';
const LIBARCHIVE_PREFIX = 'LIBARCHIVE.xattr.';
const ACLS: Readonly<Record<string, string>> = {
  'SCHILY.acl.access': 'system.posix_acl_access',
  'SCHILY.acl.default': 'system.posix_acl_default',
};
/** Attributes of overlayfs itself: on a lower layer they would change what the guest sees. */
const OVERLAY = /^(trusted|user)\.overlay\./;

/** What extended headers say of an entry; undefined: what the plain header says holds. */
export interface Extended {
  name?: string;
  linkName?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: { readonly sec: number; readonly nsec: number };
  readonly xattrs: Map<string, Buffer>;
}

/** Records in their order, the last one of a key holds. Throws `image.bad_layer` and `image.limit_exceeded`. */
export function readExtended(records: readonly PaxRecord[], limits: ImageLimits): Extended {
  const extended: Extended = { xattrs: new Map() };
  for (const { key, value } of records) {
    // An empty value takes an earlier one back. Source: pax(1).
    const text = value.toString('latin1');
    switch (key) {
      case 'path':
        extended.name = text;
        break;
      case 'GNU.sparse.name':
        extended.name = text;
        break;
      case 'linkpath':
        extended.linkName = text;
        break;
      case 'size':
        extended.size = parseDecimal(text, 'a size');
        break;
      case 'uid':
        extended.uid = parseDecimal(text, 'an owner');
        break;
      case 'gid':
        extended.gid = parseDecimal(text, 'a group');
        break;
      case 'mtime':
        extended.mtime = parseTime(text);
        break;
      default:
        readXattr(extended.xattrs, key, value);
    }
  }
  // The placeholder name of a sparse file never holds, wherever the true one stands.
  const sparseName = records.findLast(({ key }) => key === 'GNU.sparse.name');
  if (sparseName !== undefined) extended.name = sparseName.value.toString('latin1');
  let bytes = 0;
  for (const [name, value] of extended.xattrs) bytes += name.length + value.length;
  if (bytes > limits.maxXattrBytes) {
    throw limitExceeded('extended attributes of one file, bytes', limits.maxXattrBytes);
  }
  return extended;
}

function readXattr(xattrs: Map<string, Buffer>, key: string, value: Buffer): void {
  if (key.startsWith(XATTR_PREFIX)) put(xattrs, key.slice(XATTR_PREFIX.length), value);
  else if (key.startsWith(LIBARCHIVE_PREFIX)) {
    const name = percentDecoded(key.slice(LIBARCHIVE_PREFIX.length));
    if (!xattrs.has(name)) put(xattrs, name, Buffer.from(value.toString('latin1'), 'base64'));
  } else {
    const acl = ACLS[key];
    if (acl !== undefined && !xattrs.has(acl)) put(xattrs, acl, parseAclText(value.toString('latin1')));
  }
}

function put(xattrs: Map<string, Buffer>, name: string, value: Buffer): void {
  if (OVERLAY.test(name)) return;
  if (name.length === 0 || name.length > 255 || name.includes('\0')) {
    throw badLayer('an extended attribute has an unusable name');
  }
  if (value.length > 65_535) throw badLayer('an extended attribute is longer than 65535 bytes');
  // A copy: the record is a view of a whole header.
  xattrs.set(name, Buffer.from(value));
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badLayer('an extended attribute has an unusable name');
  }
}
