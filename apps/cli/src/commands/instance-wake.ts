import { operatingCommand } from './operate.js';

/** `mvm instance wake`. */
export const instanceWake = operatingCommand({
  route: 'wakeInstance',
  doing: 'waking',
  done: 'woken',
  hold: { state: 'running', undo: 'stop' },
  text: 'A sleeping instance continues where it was put to sleep, with the same address. For the time of --hold, agentd lets it\nrun, in addition to the instances that its pool wants. For a stopped instance, use mvm instance start.',
  examples: [
    ['mvm instance wake acme/web/i-0a1b2c3d', 'Wake one instance'],
    [
      'mvm instance list acme -o json | jq -r \'.items[] | select(.status == "sleeping") | "\\(.tenant_id)/\\(.pool_id)/\\(.instance_id)"\' | xargs mvm instance wake',
      'Wake all sleeping instances',
    ],
  ],
});
