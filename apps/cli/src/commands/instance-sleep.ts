import { Option } from 'commander';
import { parseDuration } from '../format/duration.js';
import { operatingCommand } from './operate.js';

/** `mvm instance sleep`. */
export const instanceSleep = operatingCommand({
  route: 'sleepInstance',
  doing: 'putting to sleep',
  done: 'sleeping',
  hold: { state: 'asleep', undo: 'wake' },
  text: 'The guest finishes or suspends its work. Then its memory goes to disk and its virtual machine ends, which frees memory\nand CPU. "mvm instance wake" continues it from there. A guest that does not finish in time is put to sleep anyway.\nThe time of --drain-timeout is added to that of --timeout.',
  examples: [
    ['mvm instance sleep acme/web/i-0a1b2c3d', 'Put one instance to sleep'],
    ['mvm instance sleep --drain-timeout 30s acme/web/i-0a1b2c3d', 'Give its guest half a minute'],
    ['mvm instance sleep --force --hold 8h acme/web/i-0a1b2c3d', 'At once, and for the working day'],
    ['mvm instance sleep --dry-run acme/web/i-0a1b2c3d', 'See every step that it would take'],
    ['mvm instance list acme -o name | xargs mvm instance sleep', "Put all of a tenant's to sleep"],
  ],
  addOptions(command) {
    command
      .addOption(new Option('--force', 'do not let the guest finish its work first'))
      .addOption(
        new Option(
          '--drain-timeout <duration>',
          "how long the guest may take to finish its work (default: the pool's)",
        )
          .argParser(parseDuration)
          .conflicts('force'),
      );
  },
  input(invocation) {
    const drainMs = invocation.number('drainTimeout');
    return {
      body: {
        force: invocation.flag('force'),
        ...(drainMs === undefined ? {} : { drain_timeout_secs: Math.ceil(drainMs / 1000) }),
      },
      extraMs: drainMs ?? 0,
    };
  },
});
