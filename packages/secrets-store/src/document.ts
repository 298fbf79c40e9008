import { CodedError } from '@mvm/protocol';
import { checkSizes, parseSecretName, type Secrets } from './names.js';

/**
 * The secrets in the text of a `secrets.json`: an object of names and values. A value that is no string stands for its
 * JSON text. Throws `failed_precondition`, reason `secrets.damaged`, in words that hold nothing of the text: parsers
 * quote what they cannot read.
 */
export function parseSecrets(text: string, path: string): Map<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw damaged(path, 'it is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw damaged(path, 'it is not an object of names and values');
  }
  const secrets = new Map<string, string>();
  for (const [index, [name, each]] of Object.entries(value).entries()) {
    try {
      parseSecretName(name);
    } catch {
      throw damaged(path, `the name of entry ${index + 1} is not one for a secret`);
    }
    secrets.set(name, typeof each === 'string' ? each : JSON.stringify(each));
  }
  checkSizes(secrets);
  return secrets;
}

/** The text of a `secrets.json`, names sorted. */
export function renderSecrets(secrets: Secrets): string {
  const sorted = [...secrets].sort(([a], [b]) => (a < b ? -1 : 1));
  return `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`;
}

function damaged(path: string, problem: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'secrets.damaged',
    message: `${path} cannot be used: ${problem}`,
    hint: 'It holds one JSON object, {"<name>": "<value>"}; mvm secret set writes it.',
  });
}
