export { type RunningDaemon, startDaemon } from './daemon.js';
export { demoImage, registerDemoImage } from './demo-image.js';
export {
  diffHost,
  type HostDifference,
  type HostSnapshot,
  snapshotHost,
} from './host-snapshot.js';
export { corpusLayers, LAYER_CASES } from './layer-corpus.js';
export { differences, type ListedEntry, listTreeProgram, parseListing } from './list-tree.js';
export { type OciImageSpec, sha256, writeOciLayout } from './oci-layout.js';
export { requireOwnNetwork } from './own-network.js';
export { patiently } from './patience.js';
export { type TarSpec, writeTar } from './tar-writer.js';
export { testUidBase } from './uid-base.js';
export { until } from './until.js';
export { callVersionOne } from './version-one-client.js';
