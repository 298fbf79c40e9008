import { z } from 'zod';

/** Highest request id: every integer up to here is exact in JSON readers that use doubles. */
const MAX_REQUEST_ID = Number.MAX_SAFE_INTEGER;

/** The first frame of a version 2 client: which versions it speaks (1…16 of them), and who it is, for logs. */
export const helloSchema = z.object({
  versions: z.array(z.int().min(0).max(65_535)).min(1).max(16),
  client: z.string().max(256),
});

/** The server's answer: the version that is spoken from now on, who it is, and the features it has. */
export const welcomeSchema = z.object({
  version: z.int().min(0).max(65_535),
  server: z.string().max(256),
  features: z.array(z.string().max(64)).max(256),
});

/** A request's id, unique among a connection's requests that wait for an answer: 0…2^53−1. */
export const requestIdSchema = z.int().min(0).max(MAX_REQUEST_ID);
