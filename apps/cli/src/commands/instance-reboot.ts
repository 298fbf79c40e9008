import { operatingCommand } from './operate.js';
import { addShutdownOptions, shutdownInput } from './shutdown-options.js';

/** `mvm instance reboot`. */
export const instanceReboot = operatingCommand({
  route: 'rebootInstance',
  doing: 'rebooting',
  done: 'rebooted',
  text: 'Asks the guest to shut down, as a power button does. When --time is over, its virtual machine is ended. Then the\ninstance boots again with its data disk and its address, and with the current image and size of its pool.\nReturns when the virtual machine runs. The time of --time is added to that of --timeout.\n\nAn instance that does not run, a missing image or a quota is refused before the guest is asked. If the new virtual\nmachine does not start, the instance is stopped; mvm instance info says why.',
  examples: [
    ['mvm instance reboot acme/web/i-0a1b2c3d', 'Restart one instance'],
    ['mvm instance reboot --time 2m acme/web/i-0a1b2c3d', 'Give its guest two minutes to shut down'],
    ['mvm instance reboot --force acme/web/i-0a1b2c3d', 'Restart one whose guest hangs'],
    ['mvm instance list acme -o name | xargs mvm instance reboot', "Restart all of a tenant's, one by one"],
  ],
  addOptions: addShutdownOptions,
  input: shutdownInput,
});
