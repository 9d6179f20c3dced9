/**
 * CRIU does not run on every machine: a runtime that is the real one, but for its checkpoint and restore, which print
 * what they saw and do what a test asks for; and a criu that passes its check.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const RUNC = '/usr/sbin/runc';

/** `fail`: it says what CRIU would say. `hang`: until it is killed; a restore has made its process by then. */
export type How = 'work' | 'fail' | 'hang';

const runtimeText = (directory: string): string => `#!/bin/sh
verb= images= work= last= bundle= pidfile= log=/dev/null globals=
for word; do
  case "$last" in
    --image-path) images=$word;;
    --work-path) work=$word;;
    --bundle) bundle=$word;;
    --pid-file) pidfile=$word;;
  esac
  case "$word" in
    checkpoint|restore) verb=$word;;
    --log=*) log=\${word#--log=} globals="$globals $word";;
    --root=*|--log-format=*) globals="$globals $word";;
  esac
  last=$word
done
[ -n "$verb" ] || exec ${RUNC} "$@"
read how < ${directory}/how
if [ "$verb" = checkpoint ]; then
  mkdir "$images" || exit 1
  ${RUNC} "$1" state "$last" > "$images/inventory.img"
  echo "$*" > "$work/dump.log"
  case "$how" in
    fail) echo '{"level":"error","msg":"criu failed: type DUMP errno 22"}' >&2; exit 1;;
    hang) echo > ${directory}/hangs; sleep 3600;;
  esac
  exit 0
fi
{ echo "$PATH"; echo "$*"; ls "$images"; } > ${directory}/restored
case "$how" in
  fail) echo '{"level":"error","msg":"criu failed: type RESTORE errno 2"}' >> "$log"; exit 1;;
esac
${RUNC} $globals create --bundle "$bundle" --pid-file "$pidfile" "$last" && ${RUNC} $globals start "$last" || exit 1
[ "$how" != hang ] || { echo > ${directory}/hangs; sleep 3600; }
`;

export interface FakeCriu {
  readonly directory: string;
  /** Path of the runtime. */
  readonly runtime: string;
  /** Path of criu. */
  readonly criu: string;
  /** From now on. */
  readonly does: (how: How) => void;
  /** Settles once a call of the runtime hangs. */
  readonly untilItHangs: () => Promise<void>;
  /** The runtime's PATH and command line at the last restore, and the files that it was given. */
  readonly restored: () => {
    readonly path: string;
    readonly argv: string;
    readonly files: readonly string[];
  };
  /** Whether criu passes its check. */
  readonly breakCriu: (isBroken: boolean) => void;
  readonly remove: () => void;
}

export function fakeCriu(): FakeCriu {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-criu-'));
  const at = (name: string): string => join(directory, name);
  writeFileSync(at('runtime'), runtimeText(directory), { mode: 0o700 });
  writeFileSync(
    at('criu'),
    `#!/bin/sh\n[ ! -e ${at('no-criu')} ] || { echo 'vdso: not found' >&2; exit 1; }\n`,
    { mode: 0o700 },
  );
  execFileSync('mkfifo', [at('hangs')]);
  const does = (how: How): void => writeFileSync(at('how'), `${how}\n`);
  does('work');
  return {
    directory,
    runtime: at('runtime'),
    criu: at('criu'),
    does,
    untilItHangs: async () => void (await readFile(at('hangs'))),
    restored: () => {
      const [path = '', argv = '', ...files] = readFileSync(at('restored'), 'utf8').trim().split('\n');
      return { path, argv, files };
    },
    breakCriu: (isBroken) =>
      isBroken ? writeFileSync(at('no-criu'), '') : rmSync(at('no-criu'), { force: true }),
    remove: () => rmSync(directory, { recursive: true }),
  };
}
