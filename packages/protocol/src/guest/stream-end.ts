import { z } from 'zod';
import type { Codec } from '../codec.js';
import { compileTagged } from '../json/tagged-shape.js';
import type { Tagged } from '../tagged.js';
import { taggedCodec } from '../v1/codec.js';
import { v2ResponseSchemas } from '../v2/responses.js';
import { streamSpecSchema } from './stream.js';

const streamEndSchemas = {
  /** A program's exit code; 0 for what is no program. */
  Exited: z.object({ code: z.int().min(0).max(255) }),
  /** The signal that ended a program. */
  Killed: z.object({ signal: z.int().min(1).max(64) }),
  /** Why there is no stream, or no more. */
  Error: v2ResponseSchemas.Error,
} as const;

/** How a stream ended: the payload of the last frame that a caller gets. */
export type StreamEnd = Tagged<typeof streamEndSchemas>;
export const streamEndCodec: Codec<StreamEnd> = taggedCodec(compileTagged(streamEndSchemas));

const streamOpenSchemas = { Open: streamSpecSchema } as const;

/** What agentd's clients ask for: the payload of the first frame that they send. */
export type StreamOpen = Tagged<typeof streamOpenSchemas>;
export const streamOpenCodec: Codec<StreamOpen> = taggedCodec(compileTagged(streamOpenSchemas));
