import { type CommandEntry, changes, reads } from './command-entry.js';

/** Commands that read and write this host's own files, without the daemons. */
export const HOST_COMMANDS: readonly CommandEntry[] = [
  changes('setup', 'Set up this host after the installation (as root)', () => import('./commands/setup.js')),
  changes('secret set', 'Set a secret of a tenant (as root)', () => import('./commands/secret-set.js')),
  reads(
    'secret list',
    "List the names of a tenant's secrets (as root)",
    () => import('./commands/secret-list.js'),
    { aliases: ['ls'] },
  ),
  changes(
    'secret remove',
    'Remove a secret of a tenant (as root)',
    () => import('./commands/secret-remove.js'),
    { aliases: ['rm'] },
  ),
  changes('image add', 'Register a guest image (as root)', () => import('./commands/image-add.js')),
  changes(
    'image import',
    'Make a guest image out of an OCI image (as root)',
    () => import('./commands/image-import.js'),
  ),
  reads('image list', 'List registered images', () => import('./commands/image-list.js'), {
    aliases: ['ls'],
  }),
  changes('image remove', 'Remove a guest image (as root)', () => import('./commands/image-remove.js'), {
    aliases: ['rm'],
  }),
  reads(
    'image info',
    'Show what a registered image is and how it runs (as root)',
    () => import('./commands/image-info.js'),
  ),
  changes(
    'image prune',
    'Remove images and older versions that no pool needs (as root)',
    () => import('./commands/image-prune.js'),
  ),
  changes(
    'kernel add',
    'Add a kernel that imported images boot (as root)',
    () => import('./commands/kernel-add.js'),
  ),
  reads('kernel list', 'List kernels (as root)', () => import('./commands/kernel-list.js'), {
    aliases: ['ls'],
  }),
  changes('kernel remove', 'Remove a kernel (as root)', () => import('./commands/kernel-remove.js'), {
    aliases: ['rm'],
  }),
];
