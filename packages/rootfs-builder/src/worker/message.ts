import { ERROR_CODES, type ErrorCode } from '@mvm/protocol';
import { z } from 'zod';

/** Longest line that is read: two account files of 1 MiB, of which every byte may be escaped. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

const count = z.int().nonnegative();
const text = z.string().max(MAX_LINE_BYTES).nullable();

/** The worker's answers, one line of JSON each; the last one is `done` or `failed`. */
export type WorkerMessage = z.infer<typeof workerMessageSchema>;
const workerMessageSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('progress'),
    layer: count,
    layers: count,
    doneBytes: count,
    totalBytes: count,
  }),
  z.strictObject({
    kind: z.literal('done'),
    sizeBytes: count,
    inodes: count,
    passwd: text,
    group: text,
    droppedXattrs: z.array(z.string().max(1000)).max(20).readonly(),
    maxRssBytes: count,
  }),
  z.strictObject({
    kind: z.literal('failed'),
    error: z.strictObject({
      code: z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]),
      reason: z.string().regex(/^[a-z_]+\.[a-z_]+$/),
      message: z.string().max(2000),
      hint: z.string().max(2000).nullable(),
      details: z.record(z.string().max(100), z.union([z.string().max(2000), z.number()])),
    }),
  }),
]);

/**
 * Reads a worker's messages. SAFETY: the worker reads untrusted layers, so what it writes is untrusted too: the first
 * line that is too long or no message ends the reading with an error.
 */
export function readMessages(
  stream: NodeJS.ReadableStream,
  onMessage: (message: WorkerMessage) => void,
  onError: (error: Error) => void,
): void {
  let parts: Buffer[] = [];
  let length = 0;
  const fail = (what: string): void => {
    stream.removeAllListeners('data').resume();
    parts = [];
    onError(new Error(`its worker wrote ${what}`));
  };
  stream.on('data', (chunk: Buffer) => {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      const line = Buffer.concat([...parts, chunk.subarray(start, end)]);
      parts = [];
      length = 0;
      start = end + 1;
      const message = parseMessage(line);
      if (message === undefined) return fail('something that is no message');
      onMessage(message);
    }
    parts.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > MAX_LINE_BYTES) fail('a line that is too long');
  });
}

function parseMessage(line: Buffer): WorkerMessage | undefined {
  try {
    return workerMessageSchema.safeParse(JSON.parse(line.toString('utf8'))).data;
  } catch {
    return undefined;
  }
}
