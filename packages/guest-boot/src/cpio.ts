/** One entry of an archive; directories have no `data`. */
export interface CpioEntry {
  /** Without leading slash; parents come before their contents. */
  readonly path: string;
  /** File type and permission bits, e.g. 0o100755. */
  readonly mode: number;
  readonly data?: Buffer;
  /** Character device of major and minor number. */
  readonly device?: readonly [number, number];
}

/**
 * A cpio archive in "newc" form, as the kernel unpacks an initrd. Deterministic: everything is root's, times are 0,
 * inode numbers count up. Source: Documentation/driver-api/early-userspace/buffer-format.rst.
 */
export function renderCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  [...entries, { path: 'TRAILER!!!', mode: 0 }].forEach((entry: CpioEntry, index) => {
    const name = Buffer.from(`${entry.path}\0`, 'utf8');
    const data = entry.data ?? Buffer.alloc(0);
    const [major, minor] = entry.device ?? [0, 0];
    const fields = [index + 1, entry.mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    parts.push(padded(Buffer.concat([Buffer.from(header, 'latin1'), name])), padded(data));
  });
  return Buffer.concat(parts);
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}
