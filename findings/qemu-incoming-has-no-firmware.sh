#!/usr/bin/env bash
# QEMU 7.2 (Debian 12): a QEMU that waits for an incoming stream has no firmware in memory; the sender's stream must bring it.
#
# Needs: qemu-system-x86 7.2.
# Expected by most: the firmware is a file of the machine, so a guest that is restored with its memory from a file and only its
# devices from a stream (xen-save-devices-state, x-ignore-shared) has it, as every other QEMU of that machine.
# Seen: with -incoming the firmware's memory is zeros, at the reset vector too, for microvm, pc and q35. Without -incoming
# it is there. So a restore that leaves out this memory gives a guest that runs until it needs its firmware: a reset,
# ACPI tables, SMBIOS, or a boot that was not complete.
# For mvm: hostd keeps the firmware's memory in a part of the snapshot, and writes it back before the guest runs.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
dpkg-query -W -f '${Version}' qemu-system-x86 | grep -q '^1:7\.2' || { echo 'another QEMU'; exit 1; }
look() {
  printf 'xp/8bx 0xfffffff0\nquit\n' | timeout 60 qemu-system-x86_64 "$@" -accel tcg -m 64M -S -nodefaults -display none \
    -monitor stdio 2>&1 | grep -ao '00000000fffffff0: .*' | tr -d '\r' | grep -q ': \(0x00 \?\)\{8\}$' && echo zeros || echo code
}
for machine in microvm pc q35; do
  echo "$machine: $(look -M "$machine"), waiting for a stream: $(look -M "$machine" -incoming defer)"
done >seen
cat seen
diff - seen <<'END'
microvm: code, waiting for a stream: zeros
pc: code, waiting for a stream: zeros
q35: code, waiting for a stream: zeros
END
echo 'as described: the firmware is not loaded when a stream is awaited'
