/**
 * INVARIANTS
 * - The tree exists in memory only: no name of a layer ever reaches a file system of the host.
 * - A name carries the layer that last described it; a whiteout hides what lower layers described and nothing else.
 * - Symbolic links on the way to an entry are followed inside the tree; there is no outside.
 *
 * Source: OCI image specification 1.1, layer.md, "Applying Changesets" and "Whiteouts".
 */
import { badLayer, limitExceeded, shown } from '../errors.js';
import type { ImageLimits } from '../limits.js';
import type { TarEntry } from '../tar/entry.js';
import {
  type Attributes,
  type Child,
  type DirectoryNode,
  type FileNode,
  type Node,
  newDirectory,
} from './node.js';
import { splitPath } from './path.js';

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** Names of AUFS itself, which older tools left in layers. */
const AUFS = '.wh..wh.';
/** As Linux follows (MAXSYMLINKS). */
const MAX_LINKS = 40;

/** A file whose content the caller collects. */
export type NewFile = (entry: TarEntry) => FileNode;

interface PendingLink {
  readonly name: string;
  readonly names: readonly string[];
  readonly linkName: string;
}

/** The file tree of an image, layer on layer. */
export class LayeredTree {
  readonly root: DirectoryNode = newDirectory();
  readonly #limits: ImageLimits;
  #layer = 0;
  #entries = 0;
  #links: PendingLink[] = [];

  constructor(limits: ImageLimits) {
    this.#limits = limits;
  }

  beginLayer(number: number): void {
    this.#layer = number;
  }

  /** Resolves hard links that came before their targets. Throws `image.bad_layer` when one leads nowhere. */
  endLayer(): void {
    // A link may lead to another one that waits: until nothing changes.
    for (let pending = this.#links; pending.length > 0; pending = this.#links) {
      this.#links = [];
      for (const link of pending) if (!this.#link(link)) this.#links.push(link);
      if (this.#links.length === pending.length) {
        throw badLayer(`${shown(pending[0]?.name ?? '')} is a hard link to what is not there`);
      }
    }
  }

  /**
   * Applies one entry. `newFile` is called for a file whose content follows and will be part of the tree. Throws
   * `image.bad_layer`, `image.limit_exceeded`.
   */
  apply(entry: TarEntry, newFile: NewFile): void {
    this.#entries += 1;
    if (this.#entries > this.#limits.maxEntries) throw limitExceeded('entries', this.#limits.maxEntries);
    const names = splitPath(entry.name, this.#limits);
    const name = names.at(-1);
    if (name === undefined) {
      if (entry.kind !== 'directory') throw badLayer('the root is not a directory');
      this.root.attributes = attributesOf(entry);
      return;
    }
    if (name.startsWith(WHITEOUT)) {
      this.#whiteout(names.slice(0, -1), name);
      return;
    }
    if (entry.kind === 'hardlink') {
      const link = { name: entry.name, names, linkName: entry.linkName };
      if (!this.#link(link)) this.#links.push(link);
      return;
    }
    const parent = this.#parentOf(names);
    const before = parent.children.get(name);
    if (entry.kind === 'directory' && before?.node.kind === 'directory') {
      before.node.attributes = attributesOf(entry);
      before.layer = this.#layer;
      return;
    }
    parent.children.set(name, { node: nodeOf(entry, newFile), layer: this.#layer });
  }

  /** What a path leads to, symbolic links followed; undefined when it leads nowhere. */
  lookup(path: string): Node | undefined {
    try {
      return this.#walk(splitPath(path, this.#limits), { create: false, followLast: true });
    } catch {
      return undefined;
    }
  }

  #parentOf(names: readonly string[]): DirectoryNode {
    const parent = this.#walk(names.slice(0, -1), { create: true, followLast: true });
    if (parent?.kind !== 'directory') {
      throw badLayer(`${shown(names.join('/'))} stands below something that is no directory`);
    }
    return parent;
  }

  /** Whether the target was there. */
  #link({ name, names, linkName }: PendingLink): boolean {
    const target = this.#walk(splitPath(linkName, this.#limits), { create: false, followLast: false });
    if (target === undefined) return false;
    if (target.kind === 'directory') throw badLayer(`${shown(name)} is a hard link to a directory`);
    const parent = this.#parentOf(names);
    parent.children.set(names.at(-1) ?? '', { node: target, layer: this.#layer });
    return true;
  }

  #whiteout(parentNames: readonly string[], name: string): void {
    const hidden = name.slice(WHITEOUT.length);
    if (name !== OPAQUE) {
      if (name.startsWith(AUFS)) return;
      if (hidden === '' || hidden === '.' || hidden === '..') throw badLayer('a whiteout hides nothing');
    }
    const parent = this.#walk(parentNames, { create: false, followLast: true });
    if (parent?.kind !== 'directory') return;
    if (name === OPAQUE) this.#hideChildren(parent);
    else this.#hide(parent, hidden);
  }

  #hideChildren(directory: DirectoryNode): void {
    for (const name of [...directory.children.keys()]) this.#hide(directory, name);
  }

  /** Removes what lower layers put under the name, and leaves what this one did. */
  #hide(parent: DirectoryNode, name: string): void {
    const child = parent.children.get(name);
    if (child === undefined) return;
    if (child.node.kind === 'directory') {
      this.#hideChildren(child.node);
      if (child.layer === this.#layer) return;
      if (child.node.children.size > 0) {
        child.node.attributes = newDirectory().attributes;
        child.layer = this.#layer;
        return;
      }
    } else if (child.layer === this.#layer) return;
    parent.children.delete(name);
  }

  /** Undefined when a name on the way is missing, unless `create` makes directories of the missing ones. */
  #walk(
    start: readonly string[],
    options: { readonly create: boolean; readonly followLast: boolean },
  ): Node | undefined {
    const above: DirectoryNode[] = [];
    let at: Node = this.root;
    let links = 0;
    const rest = [...start].reverse();
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      if (at.kind !== 'directory') return undefined;
      if (name === '..') {
        at = above.pop() ?? this.root;
        continue;
      }
      const child: Child | undefined =
        at.children.get(name) ?? (options.create ? this.#make(at, name) : undefined);
      if (child === undefined) return undefined;
      if (child.node.kind === 'symlink' && (rest.length > 0 || options.followLast)) {
        links += 1;
        if (links > MAX_LINKS)
          throw badLayer(`${shown(start.join('/'))} leads through too many symbolic links`);
        const { target } = child.node;
        if (target.startsWith('/')) {
          above.length = 0;
          at = this.root;
        }
        rest.push(
          ...target
            .split('/')
            .filter((part) => part !== '' && part !== '.')
            .reverse(),
        );
        continue;
      }
      above.push(at);
      if (above.length > this.#limits.maxDepth)
        throw limitExceeded('depth of directories', this.#limits.maxDepth);
      at = child.node;
    }
    return at;
  }

  #make(parent: DirectoryNode, name: string): Child {
    const child = { node: newDirectory(), layer: this.#layer };
    parent.children.set(name, child);
    return child;
  }
}

function attributesOf(entry: TarEntry): Attributes {
  const { mode, uid, gid, mtimeSec, mtimeNsec, xattrs } = entry;
  return { mode, uid, gid, mtimeSec, mtimeNsec, xattrs };
}

function nodeOf(entry: TarEntry, newFile: NewFile): Node {
  const attributes = attributesOf(entry);
  switch (entry.kind) {
    case 'directory':
      return newDirectory(attributes);
    case 'symlink':
      if (entry.linkName === '' || entry.linkName.length > 4095 || entry.linkName.includes('\0')) {
        throw badLayer(`${shown(entry.name)} is a symbolic link that leads nowhere`);
      }
      return { kind: 'symlink', attributes, target: entry.linkName };
    case 'char':
    case 'block':
    case 'fifo':
      if (entry.deviceMajor > 0xfff || entry.deviceMinor > 0xfffff) {
        throw badLayer(`${shown(entry.name)} has an unusable device number`);
      }
      return { kind: entry.kind, attributes, major: entry.deviceMajor, minor: entry.deviceMinor };
    default:
      return newFile(entry);
  }
}
