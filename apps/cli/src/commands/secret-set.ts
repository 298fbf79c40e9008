import { createReadStream } from 'node:fs';
import { changeSecrets, checkSizes, MAX_VALUE_BYTES, parseSecretName, readSecrets } from '@mvm/secrets-store';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { usageError } from '../errors/usage-error.js';
import { addHelp, completeWith } from '../help.js';
import type { Invocation } from '../invocation.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { addStateDirOption } from './image-options.js';
import { isRecorded, secretsFile } from './secret-options.js';
import { printSecretPlan } from './secret-plan.js';

/** `mvm secret set`. */
export const secretSet: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command
      .argument('<tenant>', 'the tenant')
      .argument('<name>', 'the secret: letters, digits and _ . -')
      .option('--from-file <path>', 'the value is what the file holds, every byte of it; - for stdin')
      .option('--from-env <variable>', 'the value is that of an environment variable');
    addDryRunOption(command);
    addStateDirOption(command);
    completeWith(command, 'tenant', 'none');
    addHelp(
      command,
      "Writes the tenant's secrets.json on this host, as root. A value is never given as an argument, which everybody\non the host could read. Guests of pools whose secret_scopes name it get it when they start or wake.",
      [
        ['sudo mvm secret set acme db.password --from-file ./password', 'From a file'],
        ['pass show acme/token | sudo mvm secret set acme token --from-file -', 'From a pipe'],
        ['sudo --preserve-env=TOKEN mvm secret set acme token --from-env TOKEN', 'From the environment'],
      ],
    );
  },
  async run(context, invocation) {
    const name = parseSecretName(invocation.operand(1));
    const path = await secretsFile(context, invocation);
    const value = await readValue(context, invocation);
    if (isDryRun(invocation)) {
      const secrets = await readSecrets(path);
      const what = secrets.has(name) ? 'replaced' : 'added';
      checkSizes(secrets.set(name, value));
      return printSecretPlan(context, invocation, { name, what, path });
    }
    let what = 'added';
    await changeSecrets(path, (secrets) => {
      what = secrets.has(name) ? 'replaced' : 'added';
      secrets.set(name, value);
    });
    context.say(`${name} ${what}; guests get it at their next start or wake`);
    if (!(await isRecorded(path))) {
      context.say(`no tenant ${invocation.operand(0)} is on this host yet; it is kept for when there is`);
    }
  },
};

async function readValue(context: CliContext, invocation: Invocation): Promise<string> {
  const file = invocation.text('fromFile');
  const variable = invocation.text('fromEnv');
  if ((file === undefined) === (variable === undefined)) {
    throw usageError('say where the value comes from', 'Give --from-file or --from-env, one of the two.');
  }
  if (variable !== undefined) {
    const value = context.env[variable];
    if (value === undefined) {
      throw usageError(
        'there is no such environment variable',
        'sudo passes it on with --preserve-env=NAME.',
      );
    }
    return value;
  }
  const bytes = file === '-' ? await context.readStdin(MAX_VALUE_BYTES) : await readBytes(file ?? '');
  if (bytes === 'tooLarge')
    throw usageError(`the value is larger than ${MAX_VALUE_BYTES} bytes`, 'Give less.');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw usageError('the value is not UTF-8 text', 'Encode it first, e.g. with base64.');
  }
}

/** A file, or a pipe such as `<(pass show …)` makes. No more is read than may be a value, whatever it is. */
async function readBytes(path: string): Promise<Uint8Array | 'tooLarge'> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of createReadStream(path)) {
      pieces.push(piece);
      size += piece.length;
      if (size > MAX_VALUE_BYTES) return 'tooLarge';
    }
    return Buffer.concat(pieces);
  } catch (error) {
    const why = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? 'error') : 'error';
    throw usageError(`cannot read ${path}: ${why}`, 'Name a file that you may read.');
  }
}
