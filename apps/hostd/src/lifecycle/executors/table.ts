import type { StepKind } from '../steps.js';
import type { StepExecutor } from './executor.js';
import { configDriveBuild, dataDiskEnsure, runtimeCreate, runtimeRemove, volumesWipe } from './files.js';
import {
  cgroupCreate,
  cgroupRemove,
  networkEnsure,
  networkRemove,
  portAttach,
  portDetach,
} from './host-resources.js';
import {
  commitResumed,
  commitRunning,
  commitSleeping,
  commitStopped,
  commitWarm,
  instanceCreate,
  instanceRemove,
  tenantRemove,
  tenantSave,
} from './records.js';
import {
  guestWake,
  snapshotCommit,
  snapshotConsume,
  snapshotDiscard,
  snapshotVerify,
  snapshotWrite,
  vmPause,
  vmRestore,
} from './suspend.js';
import { vmKill, vmLaunch, vmRecord, vmResume } from './vm.js';

/** The executor of every kind of step. */
export const stepExecutors: { readonly [K in StepKind]: StepExecutor<K> } = {
  'runtime.create': runtimeCreate,
  'runtime.remove': runtimeRemove,
  'config_drive.build': configDriveBuild,
  'data_disk.ensure': dataDiskEnsure,
  'cgroup.create': cgroupCreate,
  'cgroup.remove': cgroupRemove,
  'port.attach': portAttach,
  'port.detach': portDetach,
  'vm.launch': vmLaunch,
  'vm.record': vmRecord,
  'vm.resume': vmResume,
  'vm.pause': vmPause,
  'vm.restore': vmRestore,
  'vm.kill': vmKill,
  'guest.wake': guestWake,
  'snapshot.write': snapshotWrite,
  'snapshot.commit': snapshotCommit,
  'snapshot.verify': snapshotVerify,
  'snapshot.consume': snapshotConsume,
  'snapshot.discard': snapshotDiscard,
  'instance.commit_running': commitRunning,
  'instance.commit_stopped': commitStopped,
  'instance.commit_sleeping': commitSleeping,
  'instance.commit_warm': commitWarm,
  'instance.commit_resumed': commitResumed,
  'volumes.wipe': volumesWipe,
  'instance.remove': instanceRemove,
  'instance.create': instanceCreate,
  'tenant.save': tenantSave,
  'tenant.remove': tenantRemove,
  'network.ensure': networkEnsure,
  'network.remove': networkRemove,
};
