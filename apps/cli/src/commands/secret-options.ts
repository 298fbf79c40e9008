import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CodedError, STATE_DIR } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import { isStateDir, secretsPath } from '@mvm/secrets-store';
import type { CliContext } from '../context.js';
import type { Invocation } from '../invocation.js';
import { chosenStateDir } from './image-options.js';

/** The file of the tenant that the call's first argument names, on a host that has a state directory. */
export async function secretsFile(context: CliContext, invocation: Invocation): Promise<string> {
  const tenant = parseTenantId(invocation.operand(0));
  const stateDir = chosenStateDir(context, invocation) ?? STATE_DIR;
  if (await isStateDir(stateDir)) return secretsPath(stateDir, tenant);
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'secrets.no_state',
    message: `${stateDir} is not a state directory of hostd, or you may not look into it`,
    hint: 'Run the command as root, after hostd was started once; --state-dir names another directory.',
  });
}

/** Whether hostd has a record of the tenant whose secrets are in the file. */
export function isRecorded(path: string): Promise<boolean> {
  return access(join(dirname(path), 'tenant.json')).then(
    () => true,
    () => false,
  );
}
