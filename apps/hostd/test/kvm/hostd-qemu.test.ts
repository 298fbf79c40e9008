import { readFile } from 'node:fs/promises';
import { expect } from 'vitest';
import { guestOf } from '../vm/guest.js';
import { describeHostdStory } from './story.js';

describeHostdStory({
  vmm: 'qemu',
  args: [],
  run: (host, vmId, script) => guestOf(host, vmId).run(script, 60),
  inspect: async ({ pid }) => {
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    expect(argv[argv.indexOf('-accel') + 1]).toBe('kvm');
    expect(argv[argv.indexOf('-cpu') + 1]).toBe('host');
  },
});
