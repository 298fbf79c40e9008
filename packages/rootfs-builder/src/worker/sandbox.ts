export interface SandboxOptions {
  readonly isRoot: boolean;
  /** Largest file that the program may write. */
  readonly maxFileBytes: number;
}

/** Descriptors that the program may have: an image's layers, and what Node needs. */
const MAX_FILES = 512;

/**
 * A command line that runs a program apart from the host: limits, no way to gain privileges; and when the caller is root,
 * namespaces of its own without network, and no capability but the two it needs to stop being root.
 */
export function sandboxed(command: readonly string[], options: SandboxOptions): string[] {
  const limits = ['prlimit', `--fsize=${options.maxFileBytes}`, `--nofile=${MAX_FILES}`, '--core=0', '--'];
  if (!options.isRoot) return [...limits, 'setpriv', '--no-new-privs', '--', ...command];
  return [
    ...['unshare', '--mount', '--net', '--ipc', '--uts', '--pid', '--fork', '--kill-child', '--'],
    ...limits,
    ...['setpriv', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all,+setuid,+setgid', '--'],
    ...command,
  ];
}
