// Launches the VM of the spec in argv[2] (JSON), moves it into the cgroup argv[3]/argv[4], prints its record, and waits
// to be killed. Runs the built driver, as a daemon would.
import { createCgroups } from '../../dist/cgroup/cgroups.js';
import { createQemuVmm } from '../../dist/vmm/qemu/driver.js';

const [, , spec, parent, name] = process.argv;
const cgroups = await createCgroups({ parent });
const handle = await createQemuVmm().launch(JSON.parse(spec), (pid) => cgroups.attach(name, pid));
await handle.resume();
process.stdout.write(`${JSON.stringify(handle.record)}\n`);
setInterval(() => {}, 60_000);
