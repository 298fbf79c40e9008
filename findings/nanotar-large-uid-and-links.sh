#!/usr/bin/env bash
# nanotar 0.3.0: a file of uid 3000000 is reported as uid 0 (pax) or null (GNU), and links have no target.
#
# Needs: root (chown), Node 20, npm, GNU tar 1.34 (Debian 12).
# Uids above 2097151 do not fit the octal field. pax puts them into a record, GNU tar into the field in base 256. Container
# hosts with user namespaces meet them in every layer that was saved from such a container.
# Seen: pax: nanotar parses the header (it returns the record's path) and reports uid 0, gid 0, so an unpacker that
# trusts it gives the file to root. GNU: uid and gid are NaN (null in JSON). Symbolic and hard links are listed without a
# field for their target, so an archive that has any cannot be unpacked. No error in any case. modern-tar 0.8.6 reads all.
# For mvm: the layer reader is tested with uids above 65535 and 2097151 in both forms, and with links.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts nanotar@0.3.0 modern-tar@0.8.6 >/dev/null
mkdir tree && echo data >tree/file && ln -s file tree/link && ln tree/file tree/other && chown 3000000:4000000 tree/file
for format in pax gnu; do tar --format=$format --sort=name -C tree -cf $format.tar file link other; done
cat >run.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { unpackTar } from 'modern-tar';
import { parseTar } from 'nanotar';
for (const format of ['pax', 'gnu']) {
  const archive = readFileSync(`${format}.tar`);
  const [file, link, hard] = parseTar(archive);
  console.log(format, 'nanotar', file.name, JSON.stringify({ uid: file.attrs.uid, gid: file.attrs.gid }));
  for (const entry of [link, hard]) {
    console.log(format, 'nanotar', entry.name, entry.type, JSON.stringify(entry).includes('"file"') ? 'target' : 'no target');
  }
  const [{ header: right }, { header: to }] = await unpackTar(archive);
  console.log(format, 'modern-tar', right.name, right.uid, right.gid, to.name, '->', to.linkname);
}
JS
node run.mjs >seen
cat seen
diff - seen <<'END'
pax nanotar file {"uid":0,"gid":0}
pax nanotar link symbolicLink no target
pax nanotar other hardLink no target
pax modern-tar file 3000000 4000000 link -> file
gnu nanotar file {"uid":null,"gid":null}
gnu nanotar link symbolicLink no target
gnu nanotar other hardLink no target
gnu modern-tar file 3000000 4000000 link -> file
END
echo 'as described: nanotar 0.3.0 gives files of large uids to root and has no link targets'
