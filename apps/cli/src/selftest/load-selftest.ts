import { CodedError } from '@mvm/protocol';

/**
 * The self-test's package, which is no part of an operator's install. Throws `failed_precondition`, reason
 * `selftest.not_installed`, when it is not there.
 */
export async function loadSelftest(): Promise<typeof import('@mvm/selftest')> {
  try {
    return await import('@mvm/selftest');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw notInstalled(error);
  }
}

/** What `mvm selftest` says where the package is missing. */
export function notInstalled(cause: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'selftest.not_installed',
    message: 'the self-test (@mvm/selftest) is not installed beside mvm',
    hint: 'In a checkout of mvm run: npm run setup && npx pnpm build; then: sudo node_modules/.bin/mvm selftest',
    cause,
  });
}
