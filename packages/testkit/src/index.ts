export { type RunningDaemon, startDaemon } from './daemon.js';
export {
  diffHost,
  type HostDifference,
  type HostSnapshot,
  snapshotHost,
} from './host-snapshot.js';
export { testUidBase } from './uid-base.js';
export { callVersionOne } from './version-one-client.js';
