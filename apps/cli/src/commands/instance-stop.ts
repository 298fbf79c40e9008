import { operatingCommand } from './operate.js';
import { addShutdownOptions, shutdownInput } from './shutdown-options.js';

/** `mvm instance stop`. */
export const instanceStop = operatingCommand({
  route: 'stopInstance',
  doing: 'stopping',
  done: 'stopped',
  hold: { state: 'stopped', undo: 'start' },
  text: 'The guest is asked to shut down, as by a power button; when its time is over, its virtual machine is ended. A second\n"mvm instance stop --force" ends it at once. The time of --time comes on top of that of --timeout.\n\nA stopped instance keeps its address and its data disk. Its place in the pool stays empty for the time of --hold,\nwhich begins anew when it is stopped already: so one that agentd would start again is kept down.\nTo restart one: mvm instance reboot. To have fewer instances for good, change the desired state: mvm apply --help.',
  examples: [
    ['mvm instance stop acme/web/i-0a1b2c3d', 'Stop one instance for a quarter of an hour'],
    ['mvm instance stop --time 2m acme/web/i-0a1b2c3d', 'Give its guest two minutes to shut down'],
    ['mvm instance stop --hold 8h acme/web/i-0a1b2c3d', 'Keep it stopped for the working day'],
    ['mvm instance list acme -o name | xargs mvm instance stop', "Stop all of a tenant's"],
  ],
  addOptions: addShutdownOptions,
  input: shutdownInput,
});
