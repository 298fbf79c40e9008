#!/bin/bash
# The test's hand in the guest: reads scripts from a virtio port, one a line (`id base64`), runs them one after the
# other, and answers `id status o:base64 e:base64` with what they wrote.
exec 3<>/dev/virtio-ports/mvm.control
echo "boot $(</proc/sys/kernel/random/boot_id)" >&3
while IFS=' ' read -r -u 3 id script; do
  base64 -d <<<"$script" >/run/mvm-control.script
  timeout 600 bash /run/mvm-control.script >/run/mvm-control.out 2>/run/mvm-control.err </dev/null 3>&-
  status=$?
  echo "$id $status o:$(base64 -w0 </run/mvm-control.out) e:$(base64 -w0 </run/mvm-control.err)" >&3
done
