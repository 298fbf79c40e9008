const IDS_PER_HOSTD = 1_048_576;
const FIRST = 100_000_000;
/** All below hostd's default, 1 900 000 000. */
const RANGES = 1_700;

/**
 * The first user id of the VMs of this process's hostd (`--vm-uid-base`): the same each time, and another one than that of
 * tests beside it, for two hostds of a host may not share user ids. Pure.
 */
export function testUidBase(pid: number = process.pid): number {
  return FIRST + (pid % RANGES) * IDS_PER_HOSTD;
}
