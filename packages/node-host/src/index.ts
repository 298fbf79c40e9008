export { listCgroups, removeCgroups } from './cgroup-trees.js';
export { type ClockOffset, clockJumpMs, readClockOffset } from './clock-offset.js';
export {
  isTemporaryName,
  readFileIfThere,
  removeTemporaryFiles,
  renameDurably,
  syncDirectory,
  writeFileAtomic,
  writeNewFile,
} from './durable-file.js';
export {
  FIRECRACKER_VERSIONS,
  type FirecrackerRelease,
  firecrackerRelease,
  judgeElf,
  parseFirecrackerVersion,
} from './firecracker-release.js';
export { EndedEarly, startListening } from './listening-process.js';
export { lockHandle, withDirectoryLock } from './lock.js';
export { formattedLog, isJournalStream, LOG_FORMATS } from './log-format.js';
export { keepRunningWithoutLog, MAX_UNWRITTEN_LOG_BYTES } from './log-stream.js';
export {
  isAlive,
  listPids,
  type ProcessIdentity,
  parseStartTime,
  readArgv,
  readStartTime,
} from './processes.js';
export { createSpaceReserve, type SpaceReserve } from './space-reserve.js';
export { until } from './until.js';
export { watchdogIntervalMs } from './watchdog.js';
