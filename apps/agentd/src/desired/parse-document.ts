import { readYaml } from '@mvm/agentd-api/yaml';
import { CodedError } from '@mvm/protocol';
import { type DesiredState, parseDesiredState } from '@mvm/protocol/state';

/** Largest desired state in bytes, as a file and as a body. */
export const MAX_DESIRED_BYTES = 4 * 1024 * 1024;

/**
 * A desired-state document, YAML 1.2 or JSON, checked. Throws `invalid_argument`, reason `desired_state.syntax` with
 * line and column, or `desired_state.invalid` with the path of what is wrong.
 */
export function parseDesiredDocument(text: string): DesiredState {
  const reading = readYaml(text);
  if ('findings' in reading) {
    const [first] = reading.findings;
    const at = first?.line === undefined ? '' : ` at line ${first.line}, column ${first.column ?? 1}`;
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'desired_state.syntax',
      message: `desired state is not one YAML or JSON document: ${first?.message ?? ''}${at}`,
      hint: 'Correct the syntax at the place that is named.',
    });
  }
  return parseDesiredState(reading.value);
}
