import { z } from 'zod';
import type { VmRecord } from '../vmm/vmm.js';

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
  emptyRootPath: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
});

/** A live VM's record as `instance.json` keeps it. Same shape as `VmRecord`; a difference does not compile. */
export const vmRecordSchema: z.ZodType<VmRecord> = z.object({
  vmm: z.enum(['qemu', 'firecracker']),
  vmmVersion: z.string(),
  pid: z.int().min(1),
  startTimeTicks: z.string(),
  hostBootId: z.string(),
  spec: vmSpec,
  argv: z.array(z.string()).readonly(),
});
