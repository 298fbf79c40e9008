import { compileTagged } from '../json/tagged-shape.js';
import { v2RequestSchemas } from '../methods.js';
import { UNSUPPORTED_FIELDS } from '../v1/schemas.js';
import { v2ResponseSchemas } from './responses.js';

/** Reads and writes version 2 requests inside frames. */
export const v2RequestShape = compileTagged(v2RequestSchemas, UNSUPPORTED_FIELDS);
/** Reads and writes version 2 responses inside frames. */
export const v2ResponseShape = compileTagged(v2ResponseSchemas);
