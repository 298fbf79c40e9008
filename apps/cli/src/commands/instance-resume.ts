import { operatingCommand } from './operate.js';

/** `mvm instance resume`. */
export const instanceResume = operatingCommand({
  route: 'resumeInstance',
  doing: 'resuming',
  done: 'resumed',
  hold: { state: 'running', undo: 'stop' },
  text: 'agentd then leaves it running for the time of --hold, beside those that its pool wants. A sleeping instance is woken instead: mvm instance wake.',
  examples: [
    ['mvm instance resume acme/web/i-0a1b2c3d', 'Let one warm instance run on'],
    ['mvm instance resume acme/web/i-0a1b2c3d acme/web/i-4e5f6071 -o json', 'Two, for scripts'],
  ],
});
