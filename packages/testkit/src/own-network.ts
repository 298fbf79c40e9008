import { execFileSync } from 'node:child_process';

/** Throws in a network namespace that has a default route: what a test does there would reach the machine. */
export function requireOwnNetwork(): void {
  if (execFileSync('ip', ['route', 'show', 'default'], { encoding: 'utf8' }) === '') return;
  throw new Error('run this tier by its script (pnpm test:vm): it needs a network namespace of its own');
}
