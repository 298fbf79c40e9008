import type { HostPorts } from '../ports.js';
import { nothing, type StepExecutor } from './executor.js';

async function removeCgroup(name: string, { cgroups }: HostPorts): Promise<void> {
  await cgroups.kill(name);
  await cgroups.remove(name);
}

export const cgroupCreate: StepExecutor<'cgroup.create'> = {
  execute: async ({ name, limits }, ports) => {
    // What an earlier run left would be counted against this one.
    await removeCgroup(name, ports);
    await ports.cgroups.create(name, limits);
  },
  undo: ({ name }, ports) => removeCgroup(name, ports),
};

export const cgroupRemove: StepExecutor<'cgroup.remove'> = {
  execute: ({ name }, ports) => removeCgroup(name, ports),
  undo: nothing,
};

export const portAttach: StepExecutor<'port.attach'> = {
  execute: async ({ net, port, keepFlows = false }, { network }) => {
    await network.attachPort(net, port, { keepFlows });
  },
  undo: async ({ net, port, keepFlows = false }, { network }) => {
    await network.detachPort(net, port, { keepFlows });
  },
};

export const portDetach: StepExecutor<'port.detach'> = {
  execute: async ({ net, port, keepFlows = false }, { network }) => {
    await network.detachPort(net, port, { keepFlows });
  },
  undo: nothing,
};

export const networkEnsure: StepExecutor<'network.ensure'> = {
  execute: async ({ net, policies }, { network }) => {
    await network.ensureTenant(net, policies);
  },
  undo: async ({ net, before }, { network }) => {
    if (before === null) await network.removeTenant(net);
    else await network.ensureTenant(net, before);
  },
};

export const networkRemove: StepExecutor<'network.remove'> = {
  execute: async ({ net }, { network }) => {
    await network.removeTenant(net);
  },
  undo: async ({ net, policies }, { network }) => {
    await network.ensureTenant(net, policies);
  },
};
