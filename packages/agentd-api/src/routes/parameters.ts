import { isValidId, parseInstanceId, parsePoolId, parseTenantId } from '@mvm/protocol/names';
import { z } from 'zod';

function id(parse: (text: string) => string, description: string) {
  return z
    .string()
    .refine(isValidId, { error: (issue) => messageOf(parse, String(issue.input)) })
    .meta({ description, pattern: '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$' });
}

function messageOf(parse: (text: string) => string, text: string): string {
  try {
    return `${parse(text)} is not valid`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export const tenant = id(parseTenantId, 'Tenant id.');
export const pool = id(parsePoolId, 'Pool id.');
const instance = id(parseInstanceId, 'Instance id.');
export const none = z.strictObject({});
export const ofTenant = z.strictObject({ tenant });
export const ofPool = z.strictObject({ tenant, pool });
export const ofInstance = z.strictObject({ tenant, pool, instance });

// Query values arrive as text and are given as values, so both are accepted.
export const flag = z.union([
  z.boolean(),
  z.stringbool({ truthy: ['true', '1'], falsy: ['false', '0'], case: 'sensitive' }),
]);
export const wholeNumber = (schema: z.ZodInt) => z.coerce.number<number | string>().pipe(schema);
export const dryRun = {
  dry_run: flag.default(false).meta({
    description:
      'Change nothing, and answer with the steps that would be taken. What would be refused is refused with the same error.',
  }),
};
export const operating = z.strictObject(dryRun);
export const holding = z.strictObject({
  ...dryRun,
  /** How long the slot is held, 0…86 400 seconds. */
  hold_seconds: wholeNumber(z.int().min(0).max(86_400)).default(900),
});
