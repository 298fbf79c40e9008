#!/usr/bin/env bash
# erofs-utils 1.5 (Debian 12): mkfs.erofs writes holes as data; fsck.erofs --extract loses hard links and capabilities, exit 0.
#
# Needs: root (chown, setcap), erofs-utils 1.5, libcap2-bin.
# Expected by most: a file of 256 MiB that is one hole costs nearly nothing, as in ext4 and squashfs; an extraction gives
# back what went in, or says what it left out.
# Seen: the image of a tree with such a hole has 256 MiB, all allocated. The extraction exits with 0 and prints nothing:
# three names of one file have become three files, security.capability is gone, the hole is 256 MiB of zeros.
# Modes, owners above 65535, times with nanoseconds and in 2100, devices and FIFOs come back right.
# For mvm: the importer writes EROFS by itself, with holes as chunks without blocks, and checks the result in a guest.
set -euo pipefail
dpkg-query -W -f '${Version}' erofs-utils | grep -q '^1\.5-' || { echo 'another erofs-utils'; exit 1; }
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
mkdir tree
printf 'data\n' >tree/a; ln tree/a tree/b; ln tree/a tree/c
truncate -s 256M tree/hole
printf 'x' >tree/tool; chown 70000:4294967290 tree/tool; setcap cap_net_raw+ep tree/tool
touch -d '2100-01-01 12:00:00.123456789 UTC' tree/later
mkfs.erofs image tree >/dev/null 2>&1
{
  echo "image: $(($(stat -c %s image) >> 20)) MiB, $(($(stat -c %b image) >> 11)) MiB allocated"
  fsck.erofs --extract=out image 2>&1; echo "extract exits with $?"
  echo "links of a: $(stat -c %h tree/a), extracted $(stat -c %h out/a)"
  echo "capability: $(getcap tree/tool | cut -d' ' -f2), extracted $(getcap out/tool | grep . || echo none)"
  echo "hole: $(($(stat -c %b tree/hole) >> 11)) MiB allocated, extracted $(($(stat -c %b out/hole) >> 11))"
  TZ=UTC stat -c '%n %u:%g %y' out/tool out/later | sed 's/ 20[0-4].*//'
} >seen
cat seen
diff - seen <<'END'
image: 256 MiB, 256 MiB allocated
extract exits with 0
links of a: 3, extracted 1
capability: cap_net_raw=ep, extracted none
hole: 0 MiB allocated, extracted 256
out/tool 70000:4294967290
out/later 0:0 2100-01-01 12:00:00.123456789 +0000
END
echo 'as described: erofs-utils 1.5 writes holes as data, and an extraction loses links and capabilities'
