import { expect, test } from 'vitest';
import { findDistrust } from './trusted-directory.js';

test.each([
  [{ uid: 0, mode: 0o40700, isLink: false }, false, null],
  [{ uid: 0, mode: 0o40755, isLink: false }, false, null],
  [{ uid: 0, mode: 0o120777, isLink: true }, false, null],
  [{ uid: 1000, mode: 0o120777, isLink: true }, true, 'user 1000'],
  [{ uid: 1000, mode: 0o40700, isLink: false }, true, 'user 1000'],
  [{ uid: 0, mode: 0o40775, isLink: false }, true, 'mode 0775'],
  [{ uid: 0, mode: 0o40702, isLink: false }, true, 'mode 0702'],
  [{ uid: 0, mode: 0o41777, isLink: false }, true, null],
  [{ uid: 0, mode: 0o41770, isLink: false }, false, 'mode 01770'],
])('finding 5: of %j, sticky allowed %s, the problem is %j', (owner, allowSticky, problem) => {
  const found = findDistrust(owner, allowSticky);
  if (problem === null) expect(found).toBeNull();
  else expect(found).toContain(problem);
});
