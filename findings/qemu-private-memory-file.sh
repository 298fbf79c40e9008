#!/usr/bin/env bash
# QEMU 7.2 (Debian 12): a memory file that is mapped privately must be writable, may be too large, and is made when missing.
#
# Needs: root (it becomes another user for one part), qemu-system-x86 7.2.
# Expected by most: share=off maps a file copy-on-write, so reading it is enough; a file of another size than the guest's
# memory is refused, and so is one that is missing.
# Seen: a file that may only be read is refused with "Permission denied", also with share=off. (readonly=on takes it, and makes
# the guest's memory read-only.) A shorter file is refused; a longer one is taken without a word. An empty or a missing file
# becomes one of the memory's size, all holes, and the guest has empty memory.
# For mvm: hostd hands the file over as a descriptor, checks that it is the very file that it wrote, and its size.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"; chmod 755 .
dpkg-query -W -f '${Version}' qemu-system-x86 | grep -q '^1:7\.2' || { echo 'another QEMU'; exit 1; }
start() {
  printf 'info status\nquit\n' | timeout 60 "${@:2}" qemu-system-x86_64 -M microvm,memory-backend=m -accel tcg -m 64M -S \
    -object "memory-backend-file,id=m,size=64M,mem-path=$tmp/file,$1" -nodefaults -display none -monitor stdio 2>&1 |
    grep -aoE 'Permission denied|does not match|VM status: paused' | head -1
}
user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
{
  truncate -s 64M file; chmod 444 file
  for options in share=off share=off,readonly=on; do echo "only readable, $options: $(start "$options" "${user[@]}")"; done
  rm -f file
  for size in 63M 64M 128M 0; do
    truncate -s "$size" file
    echo "$size: $(start share=off env), then $(($(stat -c %s file) >> 20)) MiB"
    rm -f file
  done
  echo "missing: $(start share=off env), then $(($(stat -c %s file) >> 20)) MiB"
} >seen
cat seen
diff - seen <<'END'
only readable, share=off: Permission denied
only readable, share=off,readonly=on: VM status: paused
63M: does not match, then 63 MiB
64M: VM status: paused, then 64 MiB
128M: VM status: paused, then 128 MiB
0: VM status: paused, then 64 MiB
missing: VM status: paused, then 64 MiB
END
echo 'as described: a private memory file is opened for writing, and its size is checked from below only'
