import { operatingCommand } from './operate.js';

/** `mvm instance start`. */
export const instanceStart = operatingCommand({
  route: 'startInstance',
  doing: 'starting',
  done: 'started',
  hold: { state: 'running', undo: 'stop' },
  text: 'Returns when the virtual machine runs. For the time of --hold, agentd lets it run, in addition to the instances that\nits pool wants. The command succeeds if the instance already runs, and restarts its hold.',
  examples: [
    ['mvm instance start acme/web/i-0a1b2c3d', 'Start one instance'],
    [
      'mvm instance start acme/web/i-0a1b2c3d && mvm instance logs -f acme/web/i-0a1b2c3d',
      'And watch it boot',
    ],
  ],
});
