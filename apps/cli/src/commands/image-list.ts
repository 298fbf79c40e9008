import { type ImageListing, listImages } from '@mvm/image-store';
import type { CommandModule } from '../command.js';
import { formatAgeOf } from '../format/age.js';
import { formatBytes } from '../format/bytes.js';
import { addListOptions } from '../format/list-options.js';
import { printList } from '../format/print.js';
import type { Column } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import { addStateDirOption, chosenStateDir, storeRoot } from './image-options.js';

/** `mvm image list`. */
export const imageList: CommandModule = {
  formats: ['table', 'wide', 'json', 'yaml', 'name'],
  configure(command) {
    addStateDirOption(command);
    addListOptions(command);
    completeWith(command);
    addHelp(
      command,
      'Asks hostd through agentd; with a state directory given, reads the store there (as root).',
      [
        ['mvm image list', 'Names, short digests, sizes'],
        ['mvm image list -o wide', 'Whole digests, to pin an image: <name>@<digest>'],
        ['sudo mvm image list --state-dir /var/lib/mvm', 'While no daemon runs'],
      ],
    );
  },
  async run(context, invocation) {
    const direct = chosenStateDir(context, invocation) !== undefined;
    const images = direct
      ? await listImages(storeRoot(context, invocation))
      : (await (await context.agentd()).getHost({}, { signal: context.signal })).images;
    const now = context.nowMs();
    const wide = invocation.format === 'wide';
    const columns: Column<ImageListing>[] = [
      { header: 'NAME', cell: (image) => image.name },
      { header: 'DIGEST', cell: ({ digest }) => (wide ? digest : digest.slice(0, 19)) },
      { header: 'SIZE', cell: (image) => formatBytes(image.size_bytes), align: 'right' },
      { header: 'AGE', cell: (image) => formatAgeOf(image.created_at, now) },
      {
        header: 'STATE',
        cell: (image) => image.problem || 'ok',
        style: (text, image) => (image.problem === '' ? text : context.colours.red(text)),
      },
    ];
    await printList(context, invocation, {
      kind: 'Image',
      items: images.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
      columns,
      name: (image) => image.name,
      empty: 'no images; register one: mvm image add --help',
    });
  },
};
