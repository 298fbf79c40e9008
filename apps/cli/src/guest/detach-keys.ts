import { InvalidArgumentError } from 'commander';

/** Reads keys as docker names them: `ctrl-p,ctrl-q`, letters, and `ctrl-` with `@`, a…z, `[`, `\`, `]`, `^`, `_`. */
export function parseDetachKeys(text: string): Uint8Array {
  if (text === '') return new Uint8Array();
  return Uint8Array.from(
    text.split(',').map((key) => {
      const control = /^ctrl-([@a-z[\\\]^_])$/i.exec(key)?.[1];
      if (control !== undefined) return control.toUpperCase().charCodeAt(0) & 0x1f;
      if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0);
      throw new InvalidArgumentError('Use keys as in ctrl-p,ctrl-q.');
    }),
  );
}

/** Looks for the keys in what is typed; those that turn out to be others are passed on. */
export class DetachKeys {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** What of the bytes is for the guest, and whether the keys were complete; what follows them is dropped. */
  push(bytes: Uint8Array): { readonly pass: Uint8Array; readonly isComplete: boolean } {
    if (this.#keys.length === 0) return { pass: bytes, isComplete: false };
    const pass: number[] = [];
    for (const byte of bytes) {
      if (byte !== this.#keys[this.#matched]) {
        pass.push(...this.#keys.subarray(0, this.#matched));
        this.#matched = 0;
      }
      if (byte !== this.#keys[this.#matched]) {
        pass.push(byte);
        continue;
      }
      this.#matched += 1;
      if (this.#matched === this.#keys.length) return { pass: Uint8Array.from(pass), isComplete: true };
    }
    return { pass: Uint8Array.from(pass), isComplete: false };
  }
}
