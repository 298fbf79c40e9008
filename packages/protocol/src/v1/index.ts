export { type V1Request, type V1Response, v1RequestCodec, v1ResponseCodec } from './codec.js';
export { v1RequestSchemas, v1ResponseSchemas } from './schemas.js';
