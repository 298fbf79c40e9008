const LINE_FEED = 0x0a;

/** The last `lines` lines of `bytes`; an unfinished last line counts as one. */
export function lastLines(bytes: Uint8Array, lines: number): Uint8Array {
  if (lines === 0) return bytes.subarray(bytes.length);
  let start = bytes.length;
  let found = bytes.at(-1) === LINE_FEED ? -1 : 0;
  while (start > 0) {
    if (bytes[start - 1] === LINE_FEED) {
      found += 1;
      if (found === lines) break;
    }
    start -= 1;
  }
  return bytes.subarray(start);
}
