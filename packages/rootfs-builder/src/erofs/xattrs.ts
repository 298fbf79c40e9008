const HEADER_BYTES = 12;
const ENTRY_BYTES = 4;

/** Prefixes that stand as a number. Source: Linux, fs/erofs/erofs_fs.h (EROFS_XATTR_INDEX_*). */
const PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ['user.', 1],
  ['trusted.', 4],
  ['security.', 6],
];
/** Whole names that stand as a number. */
const NAMES: Readonly<Record<string, number>> = {
  'system.posix_acl_access': 2,
  'system.posix_acl_default': 3,
};

/** A node's attributes as they follow its inode; empty when there are none. A multiple of four bytes. */
export function encodeXattrs(xattrs: ReadonlyMap<string, Buffer>): Buffer {
  const parts: Buffer[] = [];
  for (const name of [...xattrs.keys()].sort()) {
    const value = xattrs.get(name) ?? Buffer.alloc(0);
    const known = indexOf(name);
    if (known === undefined) continue;
    const rest = Buffer.from(known.rest, 'latin1');
    const bytes = ENTRY_BYTES + rest.length + value.length;
    const entry = Buffer.alloc(Math.ceil(bytes / 4) * 4);
    entry.writeUInt8(rest.length, 0);
    entry.writeUInt8(known.index, 1);
    entry.writeUInt16LE(value.length, 2);
    rest.copy(entry, ENTRY_BYTES);
    value.copy(entry, ENTRY_BYTES + rest.length);
    parts.push(entry);
  }
  return parts.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.alloc(HEADER_BYTES), ...parts]);
}

/** The inode's field that gives the attributes' size. */
export function xattrCount(encoded: Buffer): number {
  return encoded.length === 0 ? 0 : (encoded.length - HEADER_BYTES) / 4 + 1;
}

/** Whether Linux has a place for an attribute of this name in the image. */
export function isStorable(name: string): boolean {
  return indexOf(name) !== undefined;
}

function indexOf(name: string): { readonly index: number; readonly rest: string } | undefined {
  const whole = NAMES[name];
  if (whole !== undefined) return { index: whole, rest: '' };
  const found = PREFIXES.find(([prefix]) => name.startsWith(prefix) && name.length > prefix.length);
  return found && { index: found[1], rest: name.slice(found[0].length) };
}
