// @boundaries-ignore every package runs the same tiers
import { packageTests } from '../../vitest.shared.ts';

export default packageTests();
