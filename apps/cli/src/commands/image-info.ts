import { type ImageUser, listImageUsers, type ResolvedImage, resolveImage } from '@mvm/image-store';
import { isCodedError, STATE_DIR } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { formatBytes } from '../format/bytes.js';
import { onOneLine } from '../format/control-characters.js';
import { printObject } from '../format/print.js';
import { renderFields } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import { addStateDirOption, chosenStateDir, storeRoot } from './image-options.js';

/** `mvm image info`. */
export const imageInfo: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<name>', 'name of an image, or <name>@<digest>');
    addStateDirOption(command);
    completeWith(command, 'image');
    addHelp(command, 'Reads the image store, as root.', [
      ['sudo mvm image info app', 'Digests, command, user, volumes, and the pools that name it'],
      ['sudo mvm image info app -o json | jq -r .origin.manifest_digest', 'The digest that registries know'],
    ]);
  },
  async run(context, invocation) {
    const image = await resolveImage(storeRoot(context, invocation), invocation.operand(0));
    const users = await knownUsers(chosenStateDir(context, invocation) ?? STATE_DIR);
    const pools = users?.filter(({ imageName }) => imageName === image.name).map(({ pool }) => pool) ?? null;
    const { name, digest, manifest } = image;
    const { kernel, initrd, rootfs, kernel_args } = manifest;
    const origin = manifest.schema_version === 2 ? manifest.origin : null;
    await printObject(context, invocation, {
      kind: 'Image',
      value: { name, digest, kernel, initrd, rootfs, kernel_args, origin, pools },
      name: `${name}@${digest}`,
      text: () => describe(image, pools),
    });
  },
};

/** null when a pool's record is damaged. */
async function knownUsers(stateDir: string): Promise<ImageUser[] | null> {
  try {
    return await listImageUsers(stateDir);
  } catch (error) {
    if (isCodedError(error) && error.reason === 'image.users_unknown') return null;
    throw error;
  }
}

function describe({ name, digest, manifest }: ResolvedImage, pools: readonly string[] | null): string {
  const origin = manifest.schema_version === 2 ? manifest.origin : undefined;
  const words = (list: readonly string[] | undefined): string | undefined =>
    list === undefined || list.length === 0 ? undefined : list.map(quoted).join(' ');
  return renderFields([
    ['Image', name],
    ['Digest', digest],
    ['Manifest', origin?.manifest_digest],
    ['Root file system', `${formatBytes(manifest.rootfs.size)}, sha256:${manifest.rootfs.sha256}`],
    ['Layers', origin && `${origin.layers}, ${origin.inodes} files and directories`],
    [
      'Kernel',
      origin ? `${origin.kernel.name} ${origin.kernel.version}` : `sha256:${manifest.kernel.sha256}`,
    ],
    ['Kernel arguments', manifest.kernel_args],
    ['Command', words(origin?.args)],
    ['Environment', words(origin?.env)],
    ['Directory', origin && onOneLine(origin.cwd)],
    ['User', origin && [`${origin.uid}:${origin.gid}`, ...origin.groups].join(' ')],
    ['Stop signal', origin && String(origin.stop_signal)],
    ['Volumes', words(origin?.volumes)],
    ['Ports', words(origin?.exposed_ports)],
    ['Init system', origin && (origin.is_init ? 'yes' : 'no')],
    ['Pools', pools === null ? 'unknown, the record of a pool is damaged' : pools.join(' ') || 'none'],
  ]);
}

/** A word as a shell would read it, where that matters. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${onOneLine(word)}'`;
}
