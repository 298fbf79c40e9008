import { compileTagged } from '../json/tagged-shape.js';
import type { Tagged } from '../tagged.js';
import { type plannableRequestSchemas, v2RequestSchemas, v2ResponseSchemas } from './schemas.js';

/** A request of version 2 in memory; every version 1 request is one. */
export type V2Request = Tagged<typeof v2RequestSchemas>;
/** A request that `PlanRequest` can ask about. */
export type PlannableRequest = Tagged<typeof plannableRequestSchemas>;
/** A response of version 2 in memory; an Error carries code, reason, retry, details and hint. */
export type V2Response = Tagged<typeof v2ResponseSchemas>;

/** Reads and writes version 2 requests inside frames. */
export const v2RequestShape = compileTagged(v2RequestSchemas);
/** Reads and writes version 2 responses inside frames. */
export const v2ResponseShape = compileTagged(v2ResponseSchemas);
