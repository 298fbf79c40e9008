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
  commitRunning,
  commitStopped,
  instanceCreate,
  instanceRemove,
  tenantRemove,
  tenantSave,
} from './records.js';
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
  'vm.kill': vmKill,
  'instance.commit_running': commitRunning,
  'instance.commit_stopped': commitStopped,
  'volumes.wipe': volumesWipe,
  'instance.remove': instanceRemove,
  'instance.create': instanceCreate,
  'tenant.save': tenantSave,
  'tenant.remove': tenantRemove,
  'network.ensure': networkEnsure,
  'network.remove': networkRemove,
};
