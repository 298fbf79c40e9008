// One executor in a process of its own (of the built package), made to die as by kill -9 at its n-th changing command:
// before it, after it, or with half of it done.
import { createNetworkExecutor } from '@mvm/net-executor/execute';
import { createCommandRunner } from '@mvm/net-executor/observe';
import { deriveTenantNet, instanceIp, macAddress, tapName } from '@mvm/protocol';

const [operation, when, nth] = process.argv.slice(2);
const real = createCommandRunner();
let armed = false;
let seen = 0;

const executor = createNetworkExecutor({
  clusterCidr: '10.240.0.0/12',
  uplinks: ['up0'],
  runner: {
    async run(program, args, stdin) {
      const changes = program === 'nft' ? args[0] === '-f' : args[0] === '-batch';
      seen += armed && changes ? 1 : 0;
      if (!armed || !changes || seen !== Number(nth)) return await real.run(program, args, stdin);
      // nft makes all of a script or nothing, ip stops anywhere.
      if (when === 'half' && program === 'ip')
        await real.run(program, args, `${stdin.split('\n').slice(0, 2).join('\n')}\n`);
      if (when === 'after') await real.run(program, args, stdin);
      process.kill(process.pid, 'SIGKILL');
      return await new Promise(() => undefined);
    },
  },
});

function tenant(netId, ...offsets) {
  const net = deriveTenantNet(netId, `10.240.${netId}.0/24`);
  const ports = offsets.map((offset) => ({
    tapName: tapName(netId, offset),
    mac: macAddress(netId, offset),
    ipv4: instanceIp(net, offset),
    ownerUid: 1_900_000_000 + netId * 256 + offset,
  }));
  return { net, ports };
}

const bystander = tenant(9, 3);
const whole = tenant(3, 5);
const { net, ports } = whole;
const before = { ensure: [], attach: [tenant(3)], detach: [whole], remove: [tenant(3)], removeAll: [whole] }[
  operation
];
if (before !== undefined) await executor.reconcile({ tenants: [bystander, ...before] });
armed = true;
await {
  reconcile: () => executor.reconcile({ tenants: [bystander, whole] }),
  ensure: () => executor.ensureTenant(net),
  attach: () => executor.attachPort(net, ports[0]),
  detach: () => executor.detachPort(net, ports[0]),
  remove: () => executor.removeTenant(net),
  removeAll: () => executor.removeAll(),
}[operation]();
process.stdout.write(`not killed: ${seen} commands`);
