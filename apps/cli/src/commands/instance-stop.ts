import { operatingCommand } from './operate.js';
import { addShutdownOptions, shutdownInput } from './shutdown-options.js';

/** `mvm instance stop`. */
export const instanceStop = operatingCommand({
  route: 'stopInstance',
  doing: 'stopping',
  done: 'stopped',
  hold: { state: 'stopped', undo: 'start' },
  text: 'Asks the guest to shut down, as a power button does. When --time is over, its virtual machine is ended. A second\n"mvm instance stop --force" ends it at once. The time of --time is added to that of --timeout.\n\nA stopped instance keeps its address and its data disk. agentd does not replace it for the time of --hold. If it is\nstopped already, its hold restarts, so that agentd does not start it again.\nTo restart an instance: mvm instance reboot. To have fewer instances permanently, change the desired state: mvm scale.',
  examples: [
    ['mvm instance stop acme/web/i-0a1b2c3d', 'Stop one instance for a quarter of an hour'],
    ['mvm instance stop --time 2m acme/web/i-0a1b2c3d', 'Give its guest two minutes to shut down'],
    ['mvm instance stop --hold 8h acme/web/i-0a1b2c3d', 'Keep it stopped for the working day'],
    ['mvm instance list acme -o name | xargs mvm instance stop', "Stop all of a tenant's"],
  ],
  addOptions: addShutdownOptions,
  input: shutdownInput,
});
