import { badLayer, limitExceeded, shown } from '../errors.js';
import { type ImageLimits, NAME_MAX, PATH_MAX } from '../limits.js';

/**
 * The names on the way to an entry, from the root; none for the root itself. A leading slash and `.` mean nothing.
 * Throws `image.bad_layer` for `..`, for a zero byte, and for what Linux could not name; `image.limit_exceeded` for
 * depth.
 */
export function splitPath(path: string, limits: ImageLimits): string[] {
  if (path.length > PATH_MAX) throw badLayer(`a name is longer than ${PATH_MAX} bytes: ${shown(path)}`);
  if (path.includes('\0')) throw badLayer(`a name contains a zero byte: ${shown(path)}`);
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  for (const name of names) {
    if (name === '..') throw badLayer(`a name leads out of its directory: ${shown(path)}`);
    if (name.length > NAME_MAX) throw badLayer(`a name is longer than ${NAME_MAX} bytes: ${shown(name)}`);
  }
  if (names.length > limits.maxDepth) throw limitExceeded('depth of directories', limits.maxDepth);
  return names;
}
