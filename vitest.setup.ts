import { expect } from 'vitest';

/** Compares buffers as bytes, which takes milliseconds for the megabytes of an image; Vitest's own way looks at each element. */
expect.addEqualityTesters([
  (left, right) => (Buffer.isBuffer(left) && Buffer.isBuffer(right) ? left.equals(right) : undefined),
]);
