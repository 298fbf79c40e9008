import { COMMANDS } from './registry.js';

/** What users of docker, kubectl and systemctl type, and what they look for is called here. */
const ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  create: ['apply'],
  delete: ['instance destroy'],
  describe: ['instance info'],
  down: ['instance stop', 'apply'],
  events: ['audit log', 'status --watch'],
  exec: ['instance logs'],
  history: ['audit log'],
  inspect: ['instance info'],
  kill: ['instance stop --force'],
  pause: ['instance warm'],
  restart: ['instance stop --hold 1s'],
  run: ['apply'],
  show: ['instance info'],
  snapshot: ['instance sleep'],
  stats: ['instance info'],
  suspend: ['instance sleep'],
  top: ['instance info'],
  unpause: ['instance resume'],
  up: ['apply'],
};

/** The commands that this unknown word may mean, without `mvm`; at most four. Pure. */
export function commandsLike(word: string): string[] {
  const named = COMMANDS.filter(
    ({ hidden, path, aliases }) => hidden !== true && (path[1] === word || aliases?.includes(word) === true),
  ).map(({ path }) => path.join(' '));
  const found = named.length > 0 ? named : Object.hasOwn(ELSEWHERE, word) ? (ELSEWHERE[word] ?? []) : [];
  return found.slice(0, 4);
}

/** Adds advice to commander's complaint about an unknown command, unless it has found a similar one itself. Pure. */
export function withAdvice(complaint: string): string {
  const word = /unknown command '([^']*)'/.exec(complaint)?.[1];
  if (word === undefined || complaint.includes('Did you mean')) return complaint;
  const commands = commandsLike(word).map((command) => `"mvm ${command}"`);
  return commands.length === 0
    ? complaint
    : `${complaint.trimEnd()}\n(Did you mean ${commands.join(' or ')}?)\n`;
}
