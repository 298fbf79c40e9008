/** Longest piece of a caller's text that a message repeats, in UTF-16 units. */
const MAX_QUOTED = 64;

/**
 * A caller's text as an error message may repeat it: in double quotes, printable ASCII only (everything else as
 * `\uXXXX`), at most 64 units of the original followed by `…`. Safe for terminals and logs.
 */
export function quoteForMessage(text: string): string {
  const cut = text.length > MAX_QUOTED ? text.slice(0, MAX_QUOTED) : text;
  const escaped = JSON.stringify(cut).replace(
    /[^\x20-\x7e]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return text.length > MAX_QUOTED ? `${escaped.slice(0, -1)}…"` : escaped;
}
