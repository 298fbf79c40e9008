import { z } from 'zod';

/** Most entries of a list, as an image's own may have. */
const MAX_ENTRIES = 500;
/** Most characters that command, environment and health check take together. */
const MAX_TOTAL_CHARS = 64 * 1024;

/** A text that can be passed to a program: no zero character. */
const argument = z
  .string()
  .max(32_768)
  .regex(/^[^\0]*$/);

const seconds = (most: number) => z.int().min(1).max(most);

/**
 * How the guest finds out whether its program works. Absent fields: as the image's `Healthcheck` says, or the defaults of
 * docker. Source: docs/images.md, "Health".
 */
export const healthSchema = z.strictObject({
  /** Program and arguments, run with the environment and the user of the main process. An empty list: no check. */
  command: z.array(argument).max(MAX_ENTRIES).optional(),
  /** Between the end of one check and the next: 30 s unless given. */
  interval_secs: seconds(86_400).optional(),
  /** A check that takes longer has failed: 30 s unless given. */
  timeout_secs: seconds(3600).optional(),
  /** So many failures in a row make the guest unhealthy: 3 unless given. */
  retries: z.int().min(1).max(1000).optional(),
  /** Failures in the first so many seconds do not count: 0 unless given. */
  start_period_secs: z.int().min(0).max(86_400).optional(),
  /** `report`: it is shown; `stop`: the guest shuts down, and `restart` says what follows. `report` unless given. */
  on_unhealthy: z.enum(['report', 'stop']).optional(),
});
export type Health = z.infer<typeof healthSchema>;

/** What a pool says of the program that its guests run, in place of what the image says. */
export const guestProgramFields = {
  /** Program and arguments in place of the image's Entrypoint and Cmd. An empty list: the guest waits for `mvm exec`. */
  command: z.array(argument).max(MAX_ENTRIES).optional(),
  /** Added to the image's environment; equal names replace. */
  env: z.record(z.string().regex(/^[^=\0]{1,1024}$/), argument).optional(),
  /** `user`, `uid`, `user:group` or `uid:gid` in place of the image's; names are those of the image. */
  user: z
    .string()
    .max(256)
    .regex(/^[^:\0]+(:[^:\0]+)?$/)
    .optional(),
  health: healthSchema.optional(),
} as const;

const guestProgramSchema = z.object(guestProgramFields);
export type GuestProgram = z.infer<typeof guestProgramSchema>;

/** What of a pool's program cannot be: too much of it, with the field. Pure; null when there is nothing. */
export function findProgramProblem({ command = [], env = {}, health }: GuestProgram): string | null {
  const names = Object.keys(env);
  if (names.length > MAX_ENTRIES)
    return `env has ${names.length} entries, and at most ${MAX_ENTRIES} are allowed`;
  const texts = [...command, ...Object.entries(env).flat(), ...(health?.command ?? [])];
  const chars = texts.reduce((sum, text) => sum + text.length, 0);
  return chars > MAX_TOTAL_CHARS
    ? `command, env and health take ${chars} characters together, and at most ${MAX_TOTAL_CHARS} are allowed`
    : null;
}

/** When agentd starts an instance again whose guest has ended by itself. Source: docs/agentd-config.md#restart. */
export const restartSchema = z.strictObject({
  /**
   * `always`; `on-failure`: not when the main process has ended with 0; `no`: never. An instance that the host has lost
   * (a reboot of the host, a VMM that was killed) is started again whatever this says.
   */
  policy: z.enum(['no', 'on-failure', 'always']).default('always'),
  /** So often it is started again in a row, each time to end soon; then it stays stopped. Absent: no limit. */
  max_retries: z.int().min(1).max(1_000_000).optional(),
  /** Before the first start again, doubled for each failure in a row; absent: agentd's setting. */
  backoff_secs: z.int().min(0).max(3600).optional(),
  /** The longest wait; absent: agentd's setting. */
  max_backoff_secs: z.int().min(1).max(86_400).optional(),
});
export type RestartPolicy = z.infer<typeof restartSchema>;
