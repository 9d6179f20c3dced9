#!/bin/sh
# Labels of SELinux for the packages: adds troupe's module to the policy that the machine has, and labels its files.
# Without semodule there is no policy, and nothing to do. A failure is reported and is no reason to install nothing.
#   labels.sh added | removed
set -eu

command -v semodule >/dev/null 2>&1 || exit 0
config=/etc/selinux/config
type=
[ ! -r "$config" ] || type=$(sed -n 's/^SELINUXTYPE=[[:space:]]*\([a-z]*\).*/\1/p' "$config")

# The reference policy (Debian) gets a domain for the daemon; a policy with container-selinux has one.
case $type in
  default | mls) module=troupe ;;
  targeted) module=troupe-container-selinux ;;
  *) exit 0 ;;
esac

case ${1:-} in
  added)
    if ! semodule -i "/usr/lib/troupe/deploy/selinux/$module.cil"; then
      echo "troupe: semodule could not add $module; docs/operations.md says how to label by hand" >&2
      exit 0
    fi
    for path in /usr/lib/troupe/bin /etc/troupe /var/lib/troupe /run/troupe; do
      # pods that run have labels of their own on files there (storage.driver vfs, the pause program): without them they
      # could not open these any more
      [ ! -e "$path" ] || restorecon -RF -e "$path/containers" -e "$path/pause-rootfs" "$path" ||
        echo "troupe: restorecon $path: failed" >&2
    done
    ;;
  removed) semodule -r "$module" || echo "troupe: semodule could not remove $module" >&2 ;;
  *)
    echo "usage: $0 added|removed" >&2
    exit 2
    ;;
esac
