export {
  CodedError,
  type CodedErrorInit,
  ERROR_CODES,
  type ErrorCode,
  type ErrorDetails,
  errnoOf,
  isCodedError,
  type RetryClass,
  toCodedError,
} from './coded-error.js';
export { quoteForMessage } from './quote-for-message.js';
