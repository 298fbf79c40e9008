#!/usr/bin/env bash
# tar-stream 3.2.2 (npm): large user ids and times far from today are changed in silence, when read and when written.
#
# Needs: node, npm, python3, GNU tar.
# Expected by most: pax headers exist for such values, and a library that reads and writes pax headers uses them for ids
# and times, or throws.
# Seen, reading a pax archive of Python's tarfile: uid 3000000 and gid 4000000 become 0 (root); mtime 1.5 becomes 2 s and
# -86400 becomes 0, although header.pax has the right values. Reading GNU's base-256 form: mtime -86400 becomes -86399.
# Seen, writing: uid 3000000 becomes 262143; the year 2300 becomes 2027; 1960 becomes bytes that GNU tar reads as a year
# before the universe. No error and no warning. Users in user namespaces and Go's zero time have such values.
# For mvm: layers are read by the importer's own reader, which takes ids and times from pax headers.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund tar-stream@3.2.2
python3 - <<'PY'
import io, tarfile
for name, form in (('pax', tarfile.PAX_FORMAT), ('gnu', tarfile.GNU_FORMAT)):
    with tarfile.open(name + '.tar', 'w', format=form) as archive:
        for entry, values in (('ids', dict(uid=3000000, gid=4000000)), ('old', dict(mtime=-86400)), ('half', dict(mtime=1.5))):
            info = tarfile.TarInfo(entry)
            for key, value in values.items(): setattr(info, key, value)
            archive.addfile(info, io.BytesIO())
PY
cat >run.mjs <<'JS'
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { extract, pack } from 'tar-stream';
for (const form of ['pax', 'gnu']) {
  const reader = extract();
  reader.on('entry', ({ name, uid, gid, mtime }, stream, next) => {
    console.log(`${form} ${name}: ${name === 'ids' ? `${uid} ${gid}` : mtime.getTime() / 1000}`);
    stream.on('end', next).resume();
  });
  await pipeline(createReadStream(`${form}.tar`), reader);
}
const writer = pack();
writer.entry({ name: 'ids', uid: 3000000 }, '');
writer.entry({ name: 'future', mtime: new Date('2300-01-01T00:00:00Z') }, '');
writer.entry({ name: 'past', mtime: new Date('1960-01-01T00:00:00Z') }, '');
writer.finalize();
await pipeline(writer, createWriteStream('written.tar'));
JS
node run.mjs >seen
TZ=UTC tar -tvf written.tar --full-time --numeric-owner 2>/dev/null | awk '{ print "written", $NF ":", ($NF == "ids" ? $2 : $4) }' >>seen
cat seen
diff - seen <<'END'
pax ids: 0 0
pax old: 0
pax half: 2
gnu ids: 3000000 4000000
gnu old: -86399
gnu half: 1
written ids: 262143/0
written future: 2027-10-18
written past: -988236098878549300
END
echo 'as described: tar-stream 3.2.2 changes large ids and far times'
