import type { InstanceView } from '@mvm/protocol';

/** How a guest was noticed to run; `none`: not at all. */
export type SignOfLife = NonNullable<InstanceView['sign_of_life']>;

/** Whether a VM's guest was noticed to run: a VMM that says so is not believed. */
export class GuestLife {
  #sign: SignOfLife | null = null;

  /** The first sign; `none` when there was none in time; null while that is open. */
  get sign(): SignOfLife | null {
    return this.#sign;
  }

  /** A sign counts when it is the first, `none` when there was no sign. */
  note(sign: SignOfLife): void {
    if (this.#sign === null || this.#sign === 'none') this.#sign = sign;
  }
}
