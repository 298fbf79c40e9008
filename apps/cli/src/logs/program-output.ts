/** Lines of the guest's first program and of its kernel: docs/images.md, "What the guest is like". */
const NOT_THE_PROGRAM = /^(?:mvm-guest [a-z]|\[ *\d+\.\d{6}\] )/;
/** What may become such a line. */
const MAY_BECOME = /^(?:m|mv|mvm|mvm-[a-z ]{0,10}|\[[ \d.]{0,14}\]? ?)$/;

/**
 * A guest's console without the lines of its kernel and of its first program. A line that has begun is passed on at once,
 * unless it may become one of those. Pieces may be cut anywhere.
 */
export class ProgramOutput {
  #line = '';
  #state: 'open' | 'passed' | 'dropped' = 'open';

  push(text: string): string {
    let out = '';
    for (const [index, part] of text.split('\n').entries()) {
      if (index > 0) out += this.#endLine();
      out += this.#take(part);
    }
    return out;
  }

  /** What was held back. */
  end(): string {
    const left = this.#state === 'open' ? this.#line : '';
    this.#line = '';
    return left;
  }

  #take(part: string): string {
    if (this.#state === 'dropped' || part === '') return '';
    if (this.#state === 'passed') return part;
    this.#line += part;
    if (NOT_THE_PROGRAM.test(this.#line)) {
      this.#state = 'dropped';
      return '';
    }
    if (MAY_BECOME.test(this.#line)) return '';
    this.#state = 'passed';
    return this.#line;
  }

  #endLine(): string {
    const out = this.#state === 'dropped' ? '' : `${this.#state === 'open' ? this.#line : ''}\n`;
    this.#line = '';
    this.#state = 'open';
    return out;
  }
}
