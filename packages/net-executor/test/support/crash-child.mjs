// One executor in a process of its own (of the built package), made to die as by kill -9 at its n-th changing command:
// before it, after it, or with half of it done.
import { setTimeout as delay } from 'node:timers/promises';
import { createNetworkExecutor } from '@mvm/net-executor/execute';
import { createCommandRunner } from '@mvm/net-executor/observe';
import { deriveTenantNet, instanceIp, macAddress, tapName } from '@mvm/protocol/names';

const [operation, when, nth] = process.argv.slice(2);
const real = createCommandRunner();
let armed = false;
let seen = 0;

async function run(program, args, stdin, give) {
  const changes = program === 'nft' ? args[0] === '-f' : args[0] === '-batch';
  seen += armed && changes ? 1 : 0;
  if (!armed || !changes || seen !== Number(nth)) return await give(stdin);
  // nft makes all of a script or nothing, ip stops anywhere.
  if (when === 'half' && program === 'ip') await give(`${stdin.split('\n').slice(0, 2).join('\n')}\n`);
  if (when === 'after') await give(stdin);
  process.kill(process.pid, 'SIGKILL');
  return await new Promise(() => undefined);
}

const executor = createNetworkExecutor({
  clusterCidr: '10.240.0.0/12',
  uplinks: ['up0'],
  runner: {
    run: (program, args, stdin) => run(program, args, stdin, (text) => real.run(program, args, text)),
    prepare(program, args) {
      const { ended, cancel, run: give } = real.prepare(program, args);
      return { ended, cancel, run: (stdin) => run(program, args, stdin, give) };
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
// Until programs wait for their scripts.
if (before !== undefined) await delay(200);
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
