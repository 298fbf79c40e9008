import { basename } from 'node:path';
import { invalidSource } from './errors.js';

/** Where an image comes from. */
export type ImageSource =
  | { readonly transport: 'oci'; readonly path: string; readonly reference: string | undefined }
  | {
      readonly transport: 'oci-archive' | 'docker-archive';
      readonly path: string;
      readonly reference: string | undefined;
    }
  | { readonly transport: 'docker'; readonly repository: string; readonly reference: string };

const REPOSITORY = /^[a-zA-Z0-9.-]+(?::\d{1,5})?(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+$/;
const TAG = /^(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})$/;

/** Throws `image.invalid_source`. Source: containers-transports(5). */
export function parseSource(source: string): ImageSource {
  const colon = source.indexOf(':');
  const transport = source.slice(0, Math.max(0, colon));
  const rest = source.slice(colon + 1);
  switch (transport) {
    case 'oci':
    case 'oci-archive':
    case 'docker-archive': {
      const at = rest.indexOf(':');
      const path = at < 0 ? rest : rest.slice(0, at);
      const reference = at < 0 ? undefined : rest.slice(at + 1);
      if (path === '') throw invalidSource(source, 'it names no file');
      if (reference === '') throw invalidSource(source, 'its reference is empty');
      return { transport, path, reference };
    }
    case 'docker': {
      if (!rest.startsWith('//'))
        throw invalidSource(source, 'a registry is written docker://<registry>/<name>');
      const whole = rest.slice(2);
      const at = whole.includes('@') ? whole.indexOf('@') : whole.indexOf(':', whole.lastIndexOf('/') + 1);
      const repository = at < 0 ? whole : whole.slice(0, at);
      const reference = at < 0 ? ':latest' : whole.slice(at);
      if (!REPOSITORY.test(repository)) throw invalidSource(source, 'it needs a registry and a name');
      if (!TAG.test(reference)) throw invalidSource(source, 'its tag or digest is malformed');
      return { transport, repository, reference };
    }
    default:
      throw invalidSource(source, 'it begins with no known transport');
  }
}

/** A name for the image when the caller gives none: that of the repository, or of the file or directory. */
export function defaultName(source: ImageSource): string {
  const from = source.transport === 'docker' ? source.repository : source.path;
  const name = basename(from)
    .replace(/\.(tar|oci|tgz|tar\.gz)$/, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/g, '');
  return name.slice(0, 63).replace(/[^a-z0-9]+$/, '');
}
