#!/bin/sh
# Makes a system extension (systemd-sysext(8)) of troupe's .tar.gz: a directory that systemd lays over /usr.
#   make-sysext.sh troupe-VERSION-linux-x64.tar.gz [DIRECTORY]
# By default it becomes /var/lib/extensions/troupe. `systemd-sysext refresh` then shows it below /usr.
#
# Only below /usr: an extension of /opt would make all of /opt read-only, where cluster networks put their plugins.
set -eu

archive=${1:?the .tar.gz of troupe}
target=${2:-/var/lib/extensions/troupe}
target=${target%/}
case $target in */*) ;; *) target=./$target ;; esac
case $archive in
  *-linux-x64.tar.gz) architecture=x86-64 ;;
  *-linux-arm64.tar.gz) architecture=arm64 ;;
  *) echo "$0: the name does not end with -linux-x64.tar.gz or -linux-arm64.tar.gz: $archive" >&2; exit 2 ;;
esac
# the name of the extension is the directory's, and that of the file by which systemd knows it
name=${target##*/}

# Made beside the old one, under a name that systemd passes over, and exchanged: a boot meanwhile sees a whole one.
new=${target%/*}/.$name.new
old=${target%/*}/.$name.old
rm -rf "$new" "$old"
mkdir -p "$new/usr/lib/troupe" "$new/usr/lib/systemd/system/multi-user.target.d" "$new/usr/bin" \
  "$new/usr/lib/extension-release.d"
tar -xzf "$archive" -C "$new/usr/lib/troupe" --strip-components=1
ln -s ../lib/troupe/bin/troupe "$new/usr/bin/troupe"
for unit in troupe.service troupe.socket; do
  sed 's|/opt/troupe|/usr/lib/troupe|g' "$new/usr/lib/troupe/deploy/$unit" >"$new/usr/lib/systemd/system/$unit"
done
# An extension is merged after systemd has read who wants what: so the target itself says it (systemd 249).
printf '[Unit]\nUpholds=troupe.service\n' >"$new/usr/lib/systemd/system/multi-user.target.d/10-troupe.conf"
# Of any distribution: it brings its Node, and needs of the host glibc alone. The last key makes systemd read its units
# again after the merge (systemd 255).
release=$new/usr/lib/extension-release.d/extension-release.$name
printf 'ID=_any\nARCHITECTURE=%s\nEXTENSION_RELOAD_MANAGER=1\n' "$architecture" >"$release"

# The old one stays until the next run: the daemon runs from it until the next one takes over.
if [ -e "$target" ]; then mv "$target" "$old"; fi
mv "$new" "$target"
echo "$target: run systemd-sysext refresh && systemctl daemon-reload && systemctl reload-or-restart troupe"
