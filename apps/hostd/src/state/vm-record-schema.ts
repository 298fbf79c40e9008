import { z } from 'zod';
import { ACCELERATORS, type VmRecord } from '../vmm/vmm.js';

const drive = z.object({
  id: z.string(),
  path: z.string(),
  readOnly: z.boolean(),
  cipher: z.literal('luks').exactOptional(),
});

const vmSpec = z.object({
  vmId: z.string(),
  vcpus: z.int(),
  memMib: z.int(),
  kernelPath: z.string(),
  initrdPath: z.string().nullable(),
  kernelArgs: z.string(),
  drives: z.array(drive).readonly(),
  net: z.object({ tapName: z.string(), mac: z.string() }),
  uid: z.int(),
  gid: z.int(),
  socketDir: z.string(),
  consolePath: z.string(),
  vmmLogPath: z.string(),
  accelerator: z.enum(ACCELERATORS),
});

/** What hostd wrote at first: QEMU's arguments beside what every driver records. */
function fromFirstForm(record: unknown): unknown {
  if (typeof record !== 'object' || record === null || !('argv' in record)) return record;
  const { argv, ...rest } = record;
  return { driverState: { argv }, ...rest };
}

/** A live VM's record as `instance.json` keeps it. Same shape as `VmRecord`; a difference does not compile. */
export const vmRecordSchema: z.ZodType<VmRecord> = z.preprocess(
  fromFirstForm,
  z.object({
    vmm: z.enum(['qemu', 'firecracker']),
    vmmVersion: z.string(),
    pid: z.int().min(1),
    startTimeTicks: z.string(),
    hostBootId: z.string(),
    spec: vmSpec,
    driverState: z.record(z.string(), z.unknown()),
  }),
);
