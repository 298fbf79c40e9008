import type { CodedError } from '@mvm/errors';
import { type ProtocolReason, protocolError } from '../protocol-error.js';
import {
  BACKSLASH,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  DIGIT_0,
  isDigit,
  MINUS,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  SIMPLE_ESCAPES,
} from './characters.js';

/** Deepest nesting of a value that is kept: 127 arrays or objects inside each other, as in serde_json. */
export const MAX_JSON_DEPTH = 127;

/** A number as it stands in the text: the lexical form decides whether it may fill an integer field. */
export interface NumberToken {
  readonly text: string;
  /** False when there is a fraction or an exponent, whatever the value. */
  readonly integer: boolean;
}

/**
 * A strict scanner of one JSON text (RFC 8259): no BOM, no comments, no trailing bytes, no lone surrogates in strings
 * that are kept. Values are pulled by the caller, who knows what to expect; a value that the caller does not want is skipped.
 *
 * INVARIANTS
 * - Work and memory are linear in the text's length; nothing recurses, so nesting cannot exhaust the stack.
 * - Every failure is a CodedError `protocol.*` that says at which character; the scanner is of no use after it.
 */
export class JsonScanner {
  readonly #text: string;
  #pos: number;

  constructor(text: string) {
    this.#text = text;
    this.#pos = 0;
  }

  /** Where the next token is looked for; may be given to `rewind`. */
  get position(): number {
    return this.#pos;
  }

  /** Goes back to a `position` of before. */
  rewind(position: number): void {
    this.#pos = position;
  }

  /** A refusal at the present position. */
  error(reason: ProtocolReason, message: string): CodedError {
    return protocolError(reason, `${message} at character ${this.#pos}`, { position: this.#pos });
  }

  #unexpected(expected: string): CodedError {
    if (this.#pos >= this.#text.length)
      return this.error('malformed_json', `expected ${expected}, found the end`);
    return this.error('malformed_json', `expected ${expected}`);
  }

  /** Skips white space (space, tab, line feed, carriage return) and returns the next code unit, NaN at the end. */
  peek(): number {
    const text = this.#text;
    let pos = this.#pos;
    let code = text.charCodeAt(pos);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      pos += 1;
      code = text.charCodeAt(pos);
    }
    this.#pos = pos;
    return code;
  }

  /** What kind of value comes next, without consuming it. */
  peekKind(): 'string' | 'number' | 'object' | 'array' | 'true' | 'false' | 'null' {
    const code = this.peek();
    if (code === QUOTE) return 'string';
    if (code === OPEN_BRACE) return 'object';
    if (code === OPEN_BRACKET) return 'array';
    if (code === MINUS || isDigit(code)) return 'number';
    if (code === 0x74) return 'true';
    if (code === 0x66) return 'false';
    if (code === 0x6e) return 'null';
    throw this.#unexpected('a JSON value');
  }

  /** Consumes the literal `true`, `false` or `null`. */
  literal(word: 'true' | 'false' | 'null'): void {
    if (!this.#text.startsWith(word, this.#pos)) throw this.#unexpected('a JSON value');
    this.#pos += word.length;
  }

  /** Consumes `{`; then call `nextKey` until it returns null. */
  beginObject(): void {
    this.#pos += 1;
  }

  /** The next member's key, with its colon consumed; null once `}` is consumed. `first` on the first call. */
  nextKey(first: boolean): string | null {
    if (!this.#nextElement(CLOSE_BRACE, first, 'a comma or "}"')) return null;
    if (this.peek() !== QUOTE) throw this.#unexpected('a field name in double quotes');
    const key = this.string();
    if (this.peek() !== COLON) throw this.#unexpected('":"');
    this.#pos += 1;
    return key;
  }

  /** Consumes `[`; then call `nextItem` until it returns false. */
  beginArray(): void {
    this.#pos += 1;
  }

  /** Whether another item follows; false once `]` is consumed. `first` on the first call. */
  nextItem(first: boolean): boolean {
    if (!this.#nextElement(CLOSE_BRACKET, first, 'a comma or "]"')) return false;
    if (this.peek() === CLOSE_BRACKET) throw this.#unexpected('a JSON value');
    return true;
  }

  #nextElement(close: number, first: boolean, expected: string): boolean {
    const code = this.peek();
    if (code === close) {
      this.#pos += 1;
      return false;
    }
    if (first) return true;
    if (code !== COMMA) throw this.#unexpected(expected);
    this.#pos += 1;
    return true;
  }

  /** Throws unless only white space is left. */
  end(): void {
    if (!Number.isNaN(this.peek())) throw this.error('malformed_json', 'unexpected bytes after the value');
  }

  /** Consumes a string whose opening quote is next. Its text is well-formed Unicode. */
  string(): string {
    const text = this.#text;
    const start = this.#pos + 1;
    let pos = start;
    for (;;) {
      const code = text.charCodeAt(pos);
      if (code === QUOTE) {
        this.#pos = pos + 1;
        return text.slice(start, pos);
      }
      if (code === BACKSLASH) return this.#escapedString(start, pos);
      this.#checkStringUnit(code, pos);
      pos += 1;
    }
  }

  #checkStringUnit(code: number, pos: number): void {
    if (code >= 0x20) return;
    this.#pos = pos;
    if (Number.isNaN(code)) throw this.error('malformed_json', 'unterminated string');
    throw this.error('malformed_json', 'control character in a string');
  }

  #escapedString(start: number, firstEscape: number): string {
    const text = this.#text;
    let result = '';
    let runStart = start;
    let pos = firstEscape;
    for (;;) {
      const code = text.charCodeAt(pos);
      if (code === QUOTE) {
        this.#pos = pos + 1;
        return result + text.slice(runStart, pos);
      }
      if (code === BACKSLASH) {
        result += text.slice(runStart, pos);
        const simple = SIMPLE_ESCAPES[text.charAt(pos + 1)];
        if (simple !== undefined) {
          result += simple;
          pos += 2;
        } else {
          const unit = this.#hexEscape(pos);
          if (unit >= 0xd800 && unit <= 0xdfff) {
            result += String.fromCharCode(unit, this.#lowSurrogate(unit, pos));
            pos += 12;
          } else {
            result += String.fromCharCode(unit);
            pos += 6;
          }
        }
        runStart = pos;
        continue;
      }
      this.#checkStringUnit(code, pos);
      pos += 1;
    }
  }

  #lowSurrogate(unit: number, pos: number): number {
    const next = this.#text.startsWith('\\u', pos + 6) ? this.#hexEscape(pos + 6) : 0;
    if (unit <= 0xdbff && next >= 0xdc00 && next <= 0xdfff) return next;
    this.#pos = pos;
    throw this.error('malformed_json', 'lone surrogate in a string');
  }

  /** The code unit of the escape `\uXXXX` at `pos`; throws for any escape that JSON does not have. */
  #hexEscape(pos: number): number {
    const digits = this.#text.slice(pos + 2, pos + 6);
    if (this.#text.charAt(pos + 1) === 'u' && /^[0-9a-fA-F]{4}$/.test(digits))
      return Number.parseInt(digits, 16);
    this.#pos = pos;
    throw this.error('malformed_json', 'invalid escape in a string');
  }

  /** Consumes a number whose first character is next. */
  number(): NumberToken {
    const text = this.#text;
    const start = this.#pos;
    let pos = start;
    if (text.charCodeAt(pos) === MINUS) pos += 1;
    if (text.charCodeAt(pos) === DIGIT_0) pos += 1;
    else pos = this.#digits(pos);
    let integer = true;
    if (text.charCodeAt(pos) === 0x2e) {
      integer = false;
      pos = this.#digits(pos + 1);
    }
    const exponent = text.charCodeAt(pos);
    if (exponent === 0x65 || exponent === 0x45) {
      integer = false;
      const sign = text.charCodeAt(pos + 1);
      pos = this.#digits(sign === 0x2b || sign === MINUS ? pos + 2 : pos + 1);
    }
    // What follows a number is checked by whoever asks for the next token; a digit here is a leading zero.
    if (isDigit(text.charCodeAt(pos))) {
      this.#pos = pos;
      throw this.error('malformed_json', 'leading zero in a number');
    }
    this.#pos = pos;
    return { text: text.slice(start, pos), integer };
  }

  #digits(from: number): number {
    let pos = from;
    while (isDigit(this.#text.charCodeAt(pos))) pos += 1;
    if (pos > from) return pos;
    this.#pos = pos;
    throw this.#unexpected('a digit');
  }

  /**
   * Consumes a value that is not wanted, checking its grammar only: any depth, duplicate names, numbers too large for
   * any type and lone `\u` surrogates pass, as they do in a serde peer that ignores a field.
   */
  skipValue(): void {
    const closers: number[] = [];
    for (;;) {
      const kind = this.peekKind();
      if (kind === 'object' || kind === 'array') {
        this.#pos += 1;
        const close = kind === 'object' ? CLOSE_BRACE : CLOSE_BRACKET;
        if (this.peek() !== close) {
          closers.push(close);
          if (close === CLOSE_BRACE) this.#skipKey();
          continue;
        }
        this.#pos += 1;
      } else if (kind === 'string') this.#skipString();
      else if (kind === 'number') this.number();
      else this.literal(kind);
      // A value is complete: go on in the innermost container, closing as many as end here.
      for (;;) {
        const close = closers.at(-1);
        if (close === undefined) return;
        const code = this.peek();
        if (code === COMMA) {
          this.#pos += 1;
          if (close === CLOSE_BRACE) this.#skipKey();
          break;
        }
        if (code !== close)
          throw this.#unexpected(close === CLOSE_BRACE ? 'a comma or "}"' : 'a comma or "]"');
        this.#pos += 1;
        closers.pop();
      }
    }
  }

  #skipKey(): void {
    if (this.peek() !== QUOTE) throw this.#unexpected('a field name in double quotes');
    this.#skipString();
    if (this.peek() !== COLON) throw this.#unexpected('":"');
    this.#pos += 1;
  }

  #skipString(): void {
    const text = this.#text;
    let pos = this.#pos + 1;
    for (;;) {
      const code = text.charCodeAt(pos);
      if (code === QUOTE) {
        this.#pos = pos + 1;
        return;
      }
      if (code === BACKSLASH) {
        if (SIMPLE_ESCAPES[text.charAt(pos + 1)] === undefined) {
          this.#hexEscape(pos);
          pos += 4;
        }
        pos += 2;
        continue;
      }
      this.#checkStringUnit(code, pos);
      pos += 1;
    }
  }
}
