import { operatingCommand } from './operate.js';

/** `mvm instance start`. */
export const instanceStart = operatingCommand({
  route: 'startInstance',
  doing: 'starting',
  done: 'started',
  hold: { state: 'running', undo: 'stop' },
  text: 'Returns when the virtual machine runs. agentd then leaves it running\nfor the time of --hold, beside those that its pool wants. An instance that runs already is no error: its time begins anew.',
  examples: [
    ['mvm instance start acme/web/i-0a1b2c3d', 'Start one instance'],
    [
      'mvm instance start acme/web/i-0a1b2c3d && mvm instance logs -f acme/web/i-0a1b2c3d',
      'And watch it boot',
    ],
  ],
});
