#!/bin/sh
# What the packages do with the service; both .deb and .rpm run it from their scripts.
#   service.sh installed   enables the service as the distribution presets it, and starts it where packages do that
#   service.sh upgraded    lets the new program take over from the running daemon, or restarts it
#   service.sh removing    disables and stops the daemon, and says what goes on without it
# A machine without systemd, such as a container or the root of an image, is left as it is.
set -eu

is_booted() { [ -d /run/systemd/system ]; }
has() { command -v "$1" >/dev/null 2>&1; }

# The reason stands here as far as files show it, such as a journal that a newer version has written.
say_not_started() {
  timeout 20 /usr/bin/troupe status 2>&1 >/dev/null || :
  echo "troupe: the service does not start$1; journalctl -u troupe has the reason"
}

case ${1:-} in
  installed)
    has systemctl || exit 0
    systemctl preset troupe.service || echo 'troupe: systemctl preset: failed; the service is not enabled' >&2
    is_booted || exit 0
    systemctl daemon-reload
    # Debian starts the services that it enables, unless policy-rc.d(8) says no; others leave that to the administrator
    if has deb-systemd-invoke && systemctl --quiet is-enabled troupe.service; then
      deb-systemd-invoke start troupe.service || say_not_started '' >&2
    fi
    ;;
  upgraded)
    if ! is_booted || ! has systemctl; then exit 0; fi
    systemctl daemon-reload
    # The running daemon starts the new program, which takes over: no call fails.
    code=0
    # with its steps: the reason of a refusal is among them
    said=$(/usr/bin/troupe upgrade 2>&1) || code=$?
    case $code in
      0) ;;
      4)
        # The daemon is of a version that can't hand over, or none runs. Containers go on: they belong to their monitors.
        # A service that was stopped stays so.
        systemctl try-restart troupe.service || say_not_started ' again' >&2
        ;;
      *)
        # a restart would end the daemon that runs, and the new program would not start in its place: a newer version
        # has written the journal, say
        printf '%s\n' "$said" >&2
        echo 'troupe: not replaced; a daemon that runs goes on. Once the reason is removed: troupe upgrade,' \
          'or systemctl start troupe where none runs' >&2
        ;;
    esac
    ;;
  removing)
    # without a daemon, what is mounted for pods and containers
    pods=$(timeout 10 /usr/bin/troupe ps -o name 2>/dev/null ||
      awk '$5 ~ "^/(run|var/lib)/troupe/" && $5 != "/run/troupe/ns" { print $5 }' /proc/self/mountinfo)
    if has systemctl; then
      # the socket first, or the next connect would start the service again
      if is_booted; then systemctl stop troupe.socket troupe.service || true; fi
      # else the links in /etc would stay; the next installation goes by the preset again. After the stop, which would
      # warn of links that systemd has not read again
      systemctl --no-reload disable troupe.service troupe.socket || true
    fi
    [ -n "$pods" ] || exit 0
    echo 'troupe: these go on without it, since containers belong to their monitors:' >&2
    printf '%s\n' "$pods" | sed 's/^/  /' >&2
    echo 'troupe: to end them, install it again, stop the service and run: troupe wipe --force' >&2
    ;;
  *)
    echo "usage: $0 installed|upgraded|removing" >&2
    exit 2
    ;;
esac
