/**
 * Texts of the kernel below /proc and in cgroups, whose names users choose: commands, mount points, interfaces,
 * environments.
 */
import { parseProfiles } from '../../../src/host/security/apparmor.ts';
import { parseOomKills } from '../../../src/host/cgroups/cgroups.ts';
import { parseLocks } from '../../../src/host/files/directory-lock.ts';
import { markIn } from '../../../src/host/process/helper-mark.ts';
import { parseMountInfo } from '../../../src/host/mounts/mountinfo.ts';
import { parseStat } from '../../../src/host/process/process-identity.ts';
import { statusIn } from '../../../src/host/process/process-status.ts';
import { parseContexts } from '../../../src/host/security/selinux.ts';
import { readDetails } from '../../../src/host/usage/usage-details.ts';
import {
  parseChosen,
  parseDeviceTable,
  parseFlat,
  parseIoStat,
  parseNetDev,
  parseNumber,
  parsePressure,
} from '../../../src/host/usage/usage-files.ts';
import { parseInotify } from '../../../src/host/process/watch.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const STAT = '77 (a) b (c)) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9999 1 2 3';
const STATUS =
  'Name:\ta\\nb:\nState:\tS (sleeping)\nPPid:\t1\nSigPnd:\t0000000000000100\nShdPnd:\t0\nNSpid:\t77\t1\nNSsid:\t0\t1\n';
const MOUNTS =
  '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n23 22 0:5 /a\\040b /mnt/x\\011y rw master:2 unbindable - tmpfs none rw,size=1k\n';
const NET =
  'Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0:99 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n';
const PRESSURE =
  'some avg10=0.00 avg60=1.50 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n';

const utf8 = (input: Buffer): string => input.toString('utf8');

const processes: readonly Kind[] = [
  {
    name: 'stat',
    seeds: [STAT],
    run: (input) => {
      const found = parseStat(utf8(input));
      for (const value of [found?.pid, found?.parentPid, found?.startTicks, found?.session])
        if (value !== undefined && !Number.isSafeInteger(value)) violated(`a number ${value}`);
      return found !== undefined;
    },
  },
  {
    name: 'status',
    seeds: [STATUS],
    run: (input) => {
      const found = statusIn(77, utf8(input));
      for (const value of [found?.parentPid, found?.session])
        if (value !== undefined && !Number.isSafeInteger(value)) violated(`a number ${value}`);
      return found !== undefined;
    },
  },
  {
    name: 'mountinfo',
    seeds: [MOUNTS],
    run: (input) => {
      const text = utf8(input);
      const mounts = parseMountInfo(text);
      // what the kernel writes has one mount a line, whatever names users have chosen
      const lines = text
        .split('\n')
        .filter((line) =>
          /^[0-9]{1,9} [0-9]{1,9} [0-9]+:[0-9]+ [^ ]+ [^ ]+ [^ ]+ (?:[^ ]+:[0-9]+ )*- [^ ]+ [^ ]+ [^ ]+$/u.test(
            line,
          ),
        );
      if (lines.length > mounts.length) violated(`${lines.length} lines, ${mounts.length} mounts`);
      if (
        mounts.length === lines.length &&
        mounts.some(({ id, mountPoint }) => !Number.isSafeInteger(id) || mountPoint === '')
      )
        violated('a mount without a number or a place');
      return mounts.length > 0;
    },
  },
  {
    name: 'environment',
    seeds: [Buffer.from('A=b\0TROUPE_HELPER_OF=aa.0f.3\0C=d\0')],
    run: (input) => markIn(input, 'aa') !== undefined,
  },
  {
    name: 'locks',
    seeds: ['1: FLOCK  ADVISORY  WRITE 77 08:01:99 0 EOF\n'],
    run: (input) => parseLocks(utf8(input), 0x801n, 99n) !== undefined,
  },
  {
    name: 'apparmor',
    seeds: ['runc (enforce)\na b (unconfined)\n'],
    run: (input) => parseProfiles(utf8(input)).size > 0,
  },
  {
    name: 'selinux',
    seeds: ['process = "system_u:system_r:container_t:s0"\nfile = "a:b:c:s0"\n'],
    run: (input) => parseContexts(utf8(input)).process !== '',
  },
  {
    name: 'inotify',
    seeds: [
      Buffer.from(
        '010000000800000000000000100000006162630000000000000000000000000001000000000400000000000000000000',
        'hex',
      ),
    ],
    run: (input) => parseInotify(input).length > 0,
  },
];

/** Every number is a bigint that is not negative. */
function counts(values: Iterable<bigint | undefined>): boolean {
  let found = false;
  for (const value of values) {
    if (value !== undefined && value < 0n) violated(`a count of ${value}`);
    found ||= value !== undefined;
  }
  return found;
}

const usage: readonly Kind[] = [
  {
    name: 'flat',
    seeds: ['usage_usec 5\nuser_usec 3\n__proto__ 1\n'],
    run: (input) => counts(parseFlat(utf8(input)).values()),
  },
  {
    name: 'chosen',
    seeds: ['anon 5\nfile 3\nfile_mapped 1\n'],
    run: (input) => counts(parseChosen(utf8(input), ['anon', 'file']).values()),
  },
  { name: 'number', seeds: ['5\n', 'max\n'], run: (input) => counts([parseNumber(utf8(input))]) },
  { name: 'pressure', seeds: [PRESSURE], run: (input) => parsePressure(utf8(input)) !== undefined },
  { name: 'netdev', seeds: [NET], run: (input) => parseNetDev(utf8(input)).length > 0 },
  {
    name: 'io',
    seeds: ['8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n'],
    run: (input) => parseIoStat(utf8(input)).size > 0,
  },
  {
    name: 'devices',
    seeds: ['8:0 Read 5\n8:0 Write 6\nTotal 11\n'],
    run: (input) => parseDeviceTable(utf8(input)).size > 0,
  },
  {
    name: 'oom',
    seeds: ['low 0\nhigh 0\nmax 1\noom 2\noom_kill 3\n'],
    run: (input) => {
      const found = parseOomKills(utf8(input));
      if (found !== undefined && (!Number.isFinite(found) || found < 0)) violated(`${found} kills`);
      return found !== undefined;
    },
  },
  {
    name: 'details',
    seeds: [
      'usage_usec 5\nuser_usec 3\nnr_periods 1\nfile 5\nmax 3\noom_kill 1\npgfault 2\ntotal_cache 5\n8:0 rbytes=1\n',
    ],
    run: (input) => {
      const text = utf8(input);
      for (const version of [1, 2] as const)
        counts(
          Object.values(
            readDetails(
              version,
              (_controller, name) => (name === 'cgroup.procs' ? '' : text),
              ['2MB'],
              undefined,
            ),
          ).filter((value) => typeof value === 'bigint'),
        );
      return true;
    },
  },
];

export const procLearner = learnerOf(
  [...processes, ...usage],
  [],
  ['\\040', '\\134', ' - ', 'shared:', 'propagate_from:', 'max', 'TROUPE_HELPER_OF=aa.'],
);
