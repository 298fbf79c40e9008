/** What one case came to. */
export interface CaseResult {
  /** `<operation>/<step>/<moment>`. */
  readonly id: string;
  readonly operation: string;
  readonly step: string;
  readonly moment: string;
  /** In a word or two what became of the operation: `undone`, `complete`, `lost`, …; empty when it failed. */
  readonly outcome: string;
  /** What was wrong; empty when nothing was. */
  readonly problems: readonly string[];
  readonly ms: number;
}

/** What a run says while it goes on, one JSON text per line. */
export type SelftestEvent =
  | { readonly type: 'progress'; readonly text: string }
  /** The matrix as enumerated on this host, and how many of its cases are run. */
  | {
      readonly type: 'matrix';
      readonly total: number;
      readonly chosen: number;
      readonly seed: number;
      /** `<operation>/<step>` of every row, in order. */
      readonly rows: readonly string[];
    }
  | { readonly type: 'case'; readonly result: CaseResult }
  /** Something that limits what was tested, for people. */
  | { readonly type: 'note'; readonly text: string }
  /** The end; `failure` when the run itself could not go on. */
  | { readonly type: 'end'; readonly failure: { readonly message: string; readonly hint: string } | null };

/** Files of the guest image that is booted, and its kernel's arguments. */
export interface SelftestImage {
  readonly kernel: string;
  readonly initrd: string | null;
  readonly rootfs: string;
  readonly kernelArgs: string;
}

/** Which cases of the matrix are run: one per step, a number of them drawn at random, or all. */
export type Selection = 'each-step' | 'all' | { readonly sample: number };

/** What a run is to do. */
export interface SelftestOptions {
  readonly kind: 'crash' | 'quick';
  /** Program of hostd: a file that can be executed, or a JavaScript file. */
  readonly hostd: string;
  readonly image: SelftestImage;
  readonly selection: Selection;
  readonly seed: number;
  /** Only this operation; null: all. */
  readonly operation: string | null;
  /** Only cases whose id contains this; null: all. */
  readonly only: string | null;
  readonly memMib: number;
  /** What runs the guests; `auto`: what hostd chooses on this host. */
  readonly vmm: 'auto' | 'qemu' | 'firecracker';
}

/** What the outside adds for the inside: names that are unique on the host. */
export interface InsideOptions extends SelftestOptions {
  /** An empty directory, 0755. */
  readonly dir: string;
  readonly cgroupParent: string;
  /** First user id of VMs. */
  readonly vmUidBase: number;
}
