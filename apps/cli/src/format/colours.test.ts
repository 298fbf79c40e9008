import { expect, it } from 'vitest';
import { createColours, wantsColours } from './colours.js';

it.each([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: '1' }, false],
  [true, { NO_COLOR: '' }, true],
  [false, { FORCE_COLOR: '1' }, true],
  [true, { FORCE_COLOR: '0' }, false],
  [true, { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
  [true, { TERM: 'dumb' }, false],
])('terminal %s with %j: %s', (isTty, env, wanted) => {
  expect(wantsColours({ isTty, env })).toBe(wanted);
  expect(createColours({ isTty, env }).red('x') !== 'x').toBe(wanted);
});
