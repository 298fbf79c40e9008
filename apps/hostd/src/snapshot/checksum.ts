/**
 * The checksum by which a wake knows a memory image that was damaged: AES-128-GMAC (NIST SP 800-38D) under a key that is
 * drawn for each image and stands beside the tag. Whatever the damage, it is missed with a chance below 2^-100; and the
 * checksum costs a fifth of sha256, so that a wake need not wait for it. Against an attacker who can write the manifest it
 * is no more use than a plain hash: that is what sealing is for.
 */
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';

const hex = (bytes: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`));

export const imageChecksumSchema = z.discriminatedUnion('algorithm', [
  z.object({ algorithm: z.literal('gmac'), key: hex(16), value: hex(16) }),
  /** As hostd wrote it at first. */
  z.object({ algorithm: z.literal('sha256'), value: hex(32) }),
]);
export type ImageChecksum = z.infer<typeof imageChecksumSchema>;

/** A checksum under way. */
export interface Checksumming {
  update(bytes: Uint8Array): void;
  /** Once, at the end. */
  finish(): ImageChecksum;
}

/** A checksum to be written beside an image; `as` one that was. */
export function beginChecksum(as?: ImageChecksum): Checksumming {
  if (as?.algorithm === 'sha256') {
    const hash = createHash('sha256');
    return {
      update: (bytes) => void hash.update(bytes),
      finish: () => ({ algorithm: 'sha256', value: hash.digest('hex') }),
    };
  }
  const key = as === undefined ? randomBytes(16) : Buffer.from(as.key, 'hex');
  // No key is used for two images, so that the nonce need not differ.
  const cipher = createCipheriv('aes-128-gcm', key, Buffer.alloc(12));
  return {
    update: (bytes) => void cipher.setAAD(bytes),
    finish: () => {
      cipher.final();
      return { algorithm: 'gmac', key: key.toString('hex'), value: cipher.getAuthTag().toString('hex') };
    },
  };
}
