import { operatingCommand } from './operate.js';

/** `mvm instance warm`. */
export const instanceWarm = operatingCommand({
  route: 'warmInstance',
  doing: 'warming',
  done: 'warm',
  hold: { state: 'warm', undo: 'resume' },
  text: 'A warm instance keeps its memory but takes no CPU time, and continues at once with "mvm instance resume".\nTo free its memory too, put it to sleep: mvm instance sleep.',
  examples: [
    ['mvm instance warm acme/web/i-0a1b2c3d', 'Stop the vCPUs of one instance'],
    ['mvm instance warm --hold 1h acme/web/i-0a1b2c3d', 'Keep it warm for an hour'],
  ],
});
