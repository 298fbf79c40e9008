import { CodedError } from '@mvm/protocol';
import { changeSecrets, parseSecretName, readSecrets } from '@mvm/secrets-store';
import type { CommandModule } from '../command.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { addStateDirOption } from './image-options.js';
import { secretsFile } from './secret-options.js';
import { printSecretPlan } from './secret-plan.js';

/** `mvm secret remove`. */
export const secretRemove: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<tenant>', 'the tenant').argument('<name>', 'the secret');
    addDryRunOption(command);
    addStateDirOption(command);
    completeWith(command, 'tenant', 'none');
    addHelp(
      command,
      'Guests that run keep what they have read. A pool that names the secret in its secret_scopes can start nothing\nuntil it is there again or is taken out of them.',
      [['sudo mvm secret remove acme token', 'As root']],
    );
  },
  async run(context, invocation) {
    const name = parseSecretName(invocation.operand(1));
    const path = await secretsFile(context, invocation);
    const remove = (secrets: Map<string, string>): void => {
      if (!secrets.delete(name)) throw noSuchSecret(name);
    };
    if (isDryRun(invocation)) {
      remove(await readSecrets(path));
      return printSecretPlan(context, invocation, { name, what: 'removed', path });
    }
    await changeSecrets(path, remove);
    context.say(`${name} removed`);
  },
};

function noSuchSecret(name: string): CodedError {
  return new CodedError({
    code: 'not_found',
    reason: 'secrets.not_found',
    message: `the tenant has no secret ${name}`,
    hint: 'mvm secret list shows the names that there are.',
  });
}
