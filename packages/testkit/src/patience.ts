/**
 * A time limit for the machine that the test runs on: times `MVM_TEST_PATIENCE` (1 when it is not set), which the tier
 * `kvm` sets in its emulated machine.
 */
export function patiently(timeoutMs: number): number {
  return timeoutMs * Number(process.env.MVM_TEST_PATIENCE ?? '1');
}
