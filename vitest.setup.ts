import { expect } from 'vitest';

/** Compares bytes as bytes, which takes milliseconds for the megabytes of an image; Vitest's own way looks at each element. */
expect.addEqualityTesters([
  (left, right) =>
    left instanceof Uint8Array && right instanceof Uint8Array && left.constructor === right.constructor
      ? Buffer.compare(left, right) === 0
      : undefined,
]);
