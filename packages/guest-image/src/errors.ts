/** Why a guest image could not be built, and what to do about it. */
export class GuestImageError extends Error {
  override readonly name = 'GuestImageError';
  /** The next step, in words. */
  readonly hint: string;

  constructor(message: string, hint: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.hint = hint;
  }
}
