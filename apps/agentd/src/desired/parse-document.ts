import { CodedError, type DesiredState, parseDesiredState } from '@mvm/protocol';
import { parse as parseYaml } from 'yaml';

/** Largest desired state in bytes, as a file and as a body. */
export const MAX_DESIRED_BYTES = 4 * 1024 * 1024;

/**
 * A desired-state document, YAML 1.2 or JSON, checked. Throws `invalid_argument`, reason `desired_state.syntax` with
 * line and column, or `desired_state.invalid` with the path of what is wrong.
 */
export function parseDesiredDocument(text: string): DesiredState {
  let value: unknown;
  try {
    value = parseYaml(text, { maxAliasCount: 100, prettyErrors: true });
  } catch (error) {
    const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'desired_state.syntax',
      message: `desired state is neither YAML nor JSON: ${message}`,
      hint: 'Correct the syntax at the place that is named.',
      cause: error,
    });
  }
  return parseDesiredState(value);
}
