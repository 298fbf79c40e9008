import { kernelsDir } from '@mvm/guest-boot';
import { type ImportedImage, type ImportProgress, importImage } from '@mvm/image-import';
import { imagesDir } from '@mvm/image-store';
import { CodedError, STATE_DIR } from '@mvm/protocol';
import type { CommandModule } from '../command.js';
import { formatBytes } from '../format/bytes.js';
import { onOneLine } from '../format/control-characters.js';
import { renderDocument } from '../format/documents.js';
import { addHelp, completeWith } from '../help.js';
import type { Progress } from '../progress/progress.js';
import { addStateDirOption, chosenStateDir } from './image-options.js';

const SIZE = /^(\d{1,6})(MiB|GiB|TiB)$/;
const UNIT_BYTES = { MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** `mvm image import`. */
export const imageImport: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command
      .argument('<source>', 'oci:, oci-archive:, docker-archive: or docker:// (see below)')
      .option('--name <name>', 'name that a pool refers to it by (default: from the source)')
      .option(
        '--kernel <name>',
        'kernel that its guests boot (default: the default one of "mvm kernel list")',
      )
      .option('--dns <address,...>', 'name servers of its guests (default: what the image has)')
      .option('--max-size <size>', 'most that its content may take, e.g. 512MiB', '32GiB')
      .option('--authfile <file>', 'credentials of registries (default: those of skopeo, podman and docker)')
      .option('--cert-dir <dir>', 'CA and client certificates of a registry')
      .option('--no-tls-verify', 'accept plain HTTP and unknown certificates of a registry');
    addStateDirOption(command);
    completeWith(command, 'none');
    addHelp(
      command,
      'Makes an image that a pool can boot out of an OCI image, and registers it. Needs root.\nThe guest runs what the image says: Entrypoint, Cmd, Env, User, WorkingDir, StopSignal, Volumes.\nThe layers are read in a process without privileges; nothing of the image is run or unpacked on the host.\nImporting the same image again finds the earlier result.',
      [
        ['sudo mvm image import oci:./app-image', 'Import an OCI layout under the name app-image'],
        [
          'sudo mvm image import docker://registry.example/team/app:1.4 --name app',
          'Fetch an image from a registry',
        ],
        ['sudo mvm image import docker-archive:app.tar:app:latest', 'What "docker save" wrote'],
      ],
    );
  },
  async run(context, invocation) {
    const stateDir = chosenStateDir(context, invocation) ?? STATE_DIR;
    const source = invocation.operand(0);
    let progress: Promise<Progress> | undefined;
    let last = '';
    let imported: ImportedImage;
    try {
      imported = await importImage(
        { images: imagesDir(stateDir), kernels: kernelsDir(stateDir) },
        {
          source,
          name: invocation.text('name'),
          kernel: invocation.text('kernel'),
          dns: parseDns(invocation.text('dns')),
          maxBytes: parseSize(invocation.text('maxSize') ?? '32GiB'),
          registry: {
            authFile: invocation.text('authfile'),
            certDir: invocation.text('certDir'),
            ...(invocation.flag('tlsVerify') ? {} : { tlsVerify: false }),
          },
        },
        {
          signal: context.signal,
          onProgress: (at) => {
            const text = describe(at, context.stderr.isTty);
            if (text === last) return;
            last = text;
            progress ??= context.progress(text);
            void progress.then((shown) => shown.update(text));
          },
        },
      );
    } finally {
      (await progress)?.done();
    }
    const { name, digest, sizeBytes, outcome, manifestDigest, droppedXattrs } = imported;
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      const value = { name, digest, size_bytes: sizeBytes, outcome, manifest_digest: manifestDigest };
      context.stdout.write(await renderDocument('Image', value, invocation.format));
    } else if (invocation.format === 'name') {
      context.stdout.write(`${name}@${digest}\n`);
    } else {
      context.stdout.write(`${name} ${outcome}: ${digest}, ${formatBytes(sizeBytes)}\n`);
    }
    if (droppedXattrs.length > 0) {
      // Their names come from the image.
      context.say(`extended attributes that were left out: ${onOneLine(droppedXattrs.join(', '))}`);
    }
  },
};

/** Text of a moment; without a terminal it changes every tenth part, so that a log stays short. */
function describe(at: ImportProgress, isTty: boolean): string {
  const { phase, doneBytes, totalBytes, layer, layers } = at;
  const percent = Math.floor((100 * doneBytes) / Math.max(1, totalBytes));
  const shown = isTty ? percent : percent - (percent % 10);
  switch (phase) {
    case 'kernel':
      return "fetching the distribution's kernel";
    case 'fetch':
      return isTty ? `fetching the image: ${formatBytes(doneBytes)}` : 'fetching the image';
    case 'build':
      return `reading layer ${layer} of ${layers}: ${isTty ? `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}` : `${shown} %`}`;
    case 'store':
      return `storing the image: ${shown} %`;
  }
}

function parseSize(text: string): number {
  const match = SIZE.exec(text);
  const bytes = match === null ? 0 : Number(match[1]) * UNIT_BYTES[match[2] as keyof typeof UNIT_BYTES];
  if (bytes > 0) return bytes;
  throw usage(
    `${JSON.stringify(text)} is not a size`,
    'write a number and MiB, GiB or TiB, e.g. --max-size 512MiB',
  );
}

function parseDns(text: string | undefined): string[] {
  if (text === undefined) return [];
  const addresses = text.split(',');
  const isAddress = (address: string): boolean =>
    /^\d{1,3}(\.\d{1,3}){3}$/.test(address) && address.split('.').every((part) => Number(part) <= 255);
  if (addresses.length <= 3 && addresses.every(isAddress)) return addresses;
  throw usage(
    `${JSON.stringify(text)} is not a list of name servers`,
    'write at most three IPv4 addresses, e.g. --dns 9.9.9.9',
  );
}

function usage(message: string, hint: string): CodedError {
  return new CodedError({ code: 'invalid_argument', reason: 'cli.usage', message, hint });
}
