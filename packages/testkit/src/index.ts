export { type RunningDaemon, startDaemon } from './daemon.js';
export {
  diffHost,
  type HostDifference,
  type HostSnapshot,
  snapshotHost,
} from './host-snapshot.js';
export { corpusLayers, type ExpectedEntry, LAYER_CASES, type LayerCase } from './layer-corpus.js';
export { differences, type ListedEntry, listTreeProgram, parseListing } from './list-tree.js';
export { type OciImageSpec, sha256, type WrittenImage, writeOciLayout } from './oci-layout.js';
export { type SparseData, type TarSpec, writeTar } from './tar-writer.js';
export { testUidBase } from './uid-base.js';
export { callVersionOne } from './version-one-client.js';
