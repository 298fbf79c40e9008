type State = 'text' | 'escape' | 'sequence' | 'string' | 'string-escape' | 'charset';

/** Longest OSC, DCS, APC or PM string that is swallowed whole; what goes on after that is text again. */
const MAX_STRING_LENGTH = 4096;

/** The part of the Unicode set that reorders what is shown: bidirectional overrides, embeddings and isolates. */
const REORDERING = /[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/;

/**
 * Makes a guest's output safe for a terminal: escape sequences (ECMA-48 CSI, OSC, DCS and the like) and every control
 * character except line feed and tab are taken out, as are characters that reorder text. Carriage returns before a
 * line feed go, others become line feeds, so that nothing shown can be overwritten.
 *
 * INVARIANTS
 * - The result does not depend on how the input is cut into pieces.
 * - A line feed ends whatever sequence is open: no line can hide the lines that follow it.
 */
export class ControlCharacterFilter {
  #state: State = 'text';
  #stringLength = 0;
  #pendingReturn = false;

  /** Takes the next piece of text and returns what of it may be shown. */
  push(text: string): string {
    let out = '';
    for (const char of text) out += this.#next(char);
    return out;
  }

  /** What was held back at the end of the input. */
  end(): string {
    const out = this.#pendingReturn ? '\n' : '';
    this.#pendingReturn = false;
    this.#state = 'text';
    return out;
  }

  #next(char: string): string {
    if (char === '\n') {
      this.#pendingReturn = false;
      this.#state = 'text';
      return '\n';
    }
    const before = this.#pendingReturn && char !== '\r' ? '\n' : '';
    if (char !== '\r') this.#pendingReturn = false;
    return before + this.#step(char);
  }

  #step(char: string): string {
    const code = char.codePointAt(0) ?? 0;
    switch (this.#state) {
      case 'text':
        return this.#stepText(char, code);
      case 'escape':
        return this.#stepEscape(char, code);
      case 'charset':
        this.#state = 'text';
        return '';
      case 'sequence':
        // Parameters 0x30–0x3f and intermediates 0x20–0x2f, then one final byte 0x40–0x7e.
        if (code >= 0x20 && code <= 0x3f) return '';
        this.#state = 'text';
        return code >= 0x40 && code <= 0x7e ? '' : this.#stepText(char, code);
      case 'string':
        return this.#stepString(code);
      case 'string-escape':
        this.#state = 'text';
        return char === '\\' ? '' : this.#stepEscape(char, code);
    }
  }

  #stepText(char: string, code: number): string {
    if (code === 0x1b) this.#state = 'escape';
    else if (code === 0x9b) this.#state = 'sequence';
    else if (isStringIntroducer(code)) this.#enterString();
    else if (char === '\r') this.#pendingReturn = true;
    else if (char === '\t' || (code >= 0x20 && !isControl(code) && !REORDERING.test(char))) return char;
    return '';
  }

  #stepEscape(char: string, code: number): string {
    if (char === '[') this.#state = 'sequence';
    // ESC P, X, ], ^ and _ are the 7-bit forms of 0x90, 0x98, 0x9d, 0x9e and 0x9f.
    else if (code >= 0x40 && code <= 0x5f && isStringIntroducer(code + 0x40)) this.#enterString();
    else if (code >= 0x20 && code <= 0x2f) this.#state = 'charset';
    else {
      this.#state = 'text';
      return code >= 0x30 && code <= 0x7e ? '' : this.#stepText(char, code);
    }
    return '';
  }

  #stepString(code: number): string {
    this.#stringLength += 1;
    if (code === 0x1b) this.#state = 'string-escape';
    else if (code === 0x07 || code === 0x9c || this.#stringLength > MAX_STRING_LENGTH) this.#state = 'text';
    return '';
  }

  #enterString(): void {
    this.#state = 'string';
    this.#stringLength = 0;
  }
}

/** One text at once; see {@link ControlCharacterFilter}. */
export function stripControlCharacters(text: string): string {
  const filter = new ControlCharacterFilter();
  return filter.push(text) + filter.end();
}

/** As {@link stripControlCharacters}, and on one line: line feeds and tabs become spaces. For table cells. */
export function onOneLine(text: string): string {
  return stripControlCharacters(text)
    .replace(/[\n\t]+/g, ' ')
    .trim();
}

function isControl(code: number): boolean {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f);
}

/** DCS, SOS, OSC, PM and APC. Source: ECMA-48, 5.3. */
function isStringIntroducer(code: number): boolean {
  return code === 0x90 || code === 0x98 || code === 0x9d || code === 0x9e || code === 0x9f;
}
