import { CodedError } from '@mvm/protocol';
import { z } from 'zod';

/** QEMU's own words that go into an error, in characters. */
const MAX_WORDS = 500;

const greetingSchema = z.object({
  QMP: z.object({
    version: z.object({ qemu: z.object({ major: z.int(), minor: z.int(), micro: z.int() }) }),
  }),
});
const eventSchema = z.object({ event: z.string(), data: z.unknown().optional() });
const answerSchema = z.object({ id: z.int(), return: z.unknown() });
// A refusal whose words are no text is still a refusal.
const failureSchema = z.object({
  id: z.int(),
  error: z.object({ desc: z.string().catch('no reason given') }),
});

/** What QEMU sends, one kind each. */
export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: string }
  | { readonly kind: 'event'; readonly event: string; readonly data: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly words: string };

/**
 * One line of QEMU's control protocol. Pure. Throws `vmm.bad_answer` for everything that is none of the four messages:
 * QEMU is not trusted. Source: QEMU 7.2, docs/interop/qmp-spec.txt.
 */
export function parseQmpMessage(line: string): QmpMessage {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw badAnswer('not JSON');
  }
  const event = eventSchema.safeParse(value);
  if (event.success) return { kind: 'event', event: event.data.event, data: event.data.data };
  const failure = failureSchema.safeParse(value);
  if (failure.success) {
    const { id, error } = failure.data;
    return { kind: 'failure', id, words: error.desc.slice(0, MAX_WORDS) };
  }
  const answer = answerSchema.safeParse(value);
  if (answer.success && Object.hasOwn(value as object, 'return')) {
    return { kind: 'answer', id: answer.data.id, value: answer.data.return };
  }
  const greeting = greetingSchema.safeParse(value);
  if (greeting.success) {
    const { major, minor, micro } = greeting.data.QMP.version.qemu;
    return { kind: 'greeting', version: `${major}.${minor}.${micro}` };
  }
  throw badAnswer('a message of no known form');
}

/** What a command returned, of the shape that it must have. Throws `vmm.bad_answer`. */
export function parseQmpReturn<T>(schema: z.ZodType<T>, value: unknown, command: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw badAnswer(`${command} returned something else than it does`);
}

/** `internal`, reason `vmm.bad_answer`. */
export function badAnswer(what: string): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.bad_answer',
    message: `QEMU's control socket speaks something else: ${what}`,
    hint: 'QEMU may be damaged or taken over: stop the instance by force (mvm instance stop --force), and look at its console and VMM log.',
  });
}
