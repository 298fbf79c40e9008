import { execa } from 'execa';
import { kernelUnusable } from './errors.js';

/** Debian package of each program that the build runs. */
const PACKAGES: Record<string, string> = {
  'apt-cache': 'apt',
  'apt-get': 'apt',
  dpkg: 'dpkg',
  'dpkg-deb': 'dpkg',
  'mkfs.ext4': 'e2fsprogs',
  debugfs: 'e2fsprogs',
};

export interface ToolOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds; 60 seconds when absent. */
  readonly timeoutMs?: number;
  /** Text for its standard input; none when absent. */
  readonly input?: string;
}

/**
 * Run a program without a shell, in the C locale, and return its standard output. Throws `kernel.unusable` with the
 * program's own words, and with the Debian package to install when it is missing.
 */
export async function runTool(
  command: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<string> {
  const result = await execa(command, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    env: { ...options.env, LC_ALL: 'C', PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin` },
    timeout: options.timeoutMs ?? 60_000,
    reject: false,
  });
  if (!result.failed) return result.stdout;
  if (result.code === 'ENOENT') {
    const name = PACKAGES[command] ?? command;
    throw kernelUnusable(`${command} is missing`, `Install it: apt-get install ${name}`, result);
  }
  const words = result.stderr.trim().split('\n').slice(-3).join('; ');
  throw kernelUnusable(
    `${command} failed: ${words === '' ? result.shortMessage : words}`,
    'Repeat it; if it fails again, run the named program yourself to see more.',
    result,
  );
}
