import { readFile } from 'node:fs/promises';
import { expect } from 'vitest';
import { agentSocketPath } from '../../src/vmm/qemu/argv.js';
import { guestBehind } from '../vm/guest.js';
import { describeHostdStory } from './story.js';

describeHostdStory({
  vmm: 'qemu',
  args: [],
  cycles: 1,
  run: ({ socketDir, vmId }, script) => guestBehind(agentSocketPath({ socketDir }), vmId).run(script, 60),
  inspect: async ({ pid }) => {
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    expect(argv[argv.indexOf('-accel') + 1]).toBe('kvm');
    expect(argv[argv.indexOf('-cpu') + 1]).toBe('host');
  },
});
