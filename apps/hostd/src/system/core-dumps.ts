import { lastErrorName, setrlimit } from './libc.js';

const RLIMIT_CORE = 4;

/**
 * Neither this process nor any that it starts leaves a core file: secrets and guests' memory would be in it. Whether
 * that could be had. Source: setrlimit(2), core(5).
 */
export function forbidCoreDumps(onProblem: (problem: string) => void): void {
  if (setrlimit(RLIMIT_CORE, new BigUint64Array(2)) !== 0) onProblem(lastErrorName());
}
