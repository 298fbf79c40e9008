import { operatingCommand } from './operate.js';

/** `mvm instance resume`. */
export const instanceResume = operatingCommand({
  route: 'resumeInstance',
  doing: 'resuming',
  done: 'resumed',
  hold: { state: 'running', undo: 'stop' },
  text: 'For the time of --hold, agentd lets it run, in addition to the instances that its pool wants. For a sleeping instance,\nuse mvm instance wake.',
  examples: [
    ['mvm instance resume acme/web/i-0a1b2c3d', 'Resume one warm instance'],
    ['mvm instance resume acme/web/i-0a1b2c3d acme/web/i-4e5f6071 -o json', 'Two, for scripts'],
  ],
});
