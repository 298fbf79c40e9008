import type { CommandEntry } from './command-entry.js';

/** Commands that read and write this host's own files, without the daemons. */
export const HOST_COMMANDS: readonly CommandEntry[] = [
  {
    path: ['setup'],
    summary: 'Set up this host after the installation (as root)',
    mutates: true,
    load: async () => (await import('./commands/setup.js')).setup,
  },
  {
    path: ['secret', 'set'],
    summary: 'Set a secret of a tenant (as root)',
    mutates: true,
    load: async () => (await import('./commands/secret-set.js')).secretSet,
  },
  {
    path: ['secret', 'list'],
    aliases: ['ls'],
    summary: "List the names of a tenant's secrets (as root)",
    mutates: false,
    load: async () => (await import('./commands/secret-list.js')).secretList,
  },
  {
    path: ['secret', 'remove'],
    aliases: ['rm'],
    summary: 'Remove a secret of a tenant (as root)',
    mutates: true,
    load: async () => (await import('./commands/secret-remove.js')).secretRemove,
  },
  {
    path: ['image', 'add'],
    summary: 'Register a guest image (as root)',
    mutates: true,
    load: async () => (await import('./commands/image-add.js')).imageAdd,
  },
  {
    path: ['image', 'import'],
    summary: 'Make a guest image out of an OCI image (as root)',
    mutates: true,
    load: async () => (await import('./commands/image-import.js')).imageImport,
  },
  {
    path: ['image', 'list'],
    aliases: ['ls'],
    summary: 'List registered images',
    mutates: false,
    load: async () => (await import('./commands/image-list.js')).imageList,
  },
  {
    path: ['image', 'remove'],
    aliases: ['rm'],
    summary: 'Remove a guest image (as root)',
    mutates: true,
    load: async () => (await import('./commands/image-remove.js')).imageRemove,
  },
  {
    path: ['image', 'info'],
    summary: 'Show what a registered image is and how it runs (as root)',
    mutates: false,
    load: async () => (await import('./commands/image-info.js')).imageInfo,
  },
  {
    path: ['image', 'prune'],
    summary: 'Remove images and older versions that no pool needs (as root)',
    mutates: true,
    load: async () => (await import('./commands/image-prune.js')).imagePrune,
  },
  {
    path: ['kernel', 'add'],
    summary: 'Add a kernel that imported images boot (as root)',
    mutates: true,
    load: async () => (await import('./commands/kernel-add.js')).kernelAdd,
  },
  {
    path: ['kernel', 'list'],
    aliases: ['ls'],
    summary: 'List kernels (as root)',
    mutates: false,
    load: async () => (await import('./commands/kernel-list.js')).kernelList,
  },
  {
    path: ['kernel', 'remove'],
    aliases: ['rm'],
    summary: 'Remove a kernel (as root)',
    mutates: true,
    load: async () => (await import('./commands/kernel-remove.js')).kernelRemove,
  },
];
