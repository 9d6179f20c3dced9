/**
 * The program that conmon runs as its runtime for containers of shims. `create` leaves one process running, which
 * copies between conmon's pipes and the shim's FIFOs (in `io` beside the bundle) until the shim has closed its ends.
 * So conmon does log, attach and log rotation as for any other container, without the daemon.
 * A shell script, since it needs only cat and runs on every architecture.
 */
import { join } from 'node:path';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { writeProgram } from '../handlers/stand-ins.ts';

const PROGRAM = `#!/bin/sh
# Called by conmon as: <this> --root=DIR create --bundle DIR --pid-file FILE ... ID
root=$1
verb=$2
shift 2
case $verb in
create)
  while [ $# -gt 1 ]; do
    case $1 in
    --bundle) bundle=$2 ;;
    --pid-file) pidfile=$2 ;;
    esac
    shift
  done
  # a process in the background gets /dev/null as its stdin, unless it is given another
  exec 3<&0
  "$0" "$root" copy "\${bundle%/*}/io" "$1" <&3 3<&- &
  echo "$!" >"$pidfile"
  ;;
copy)
  io=$1
  exec 3<&0 </dev/null
  if [ -p "$io/in" ]; then
    cat <&3 >"$io/in" 2>/dev/null &
    in=$!
  fi
  exec 3<&-
  if [ -p "$io/err" ]; then
    cat "$io/err" >&2 &
    err=$!
  fi
  cat "$io/out"
  [ -z "$err" ] || wait "$err"
  [ -z "$in" ] || kill "$in" 2>/dev/null
  exit 0
  ;;
*)
  exit 1
  ;;
esac
`;

/** Writes it to a directory that allows executables, and returns its path; keeps an identical file. */
export async function writeStdioProgram(directory: string): Promise<string> {
  const path = join(directory, 'shim-stdio');
  const there = await readSmallFile(path, { usualBytes: PROGRAM.length, bytesMax: PROGRAM.length });
  if (there === PROGRAM) return path;
  return writeProgram(directory, 'shim-stdio', PROGRAM);
}
