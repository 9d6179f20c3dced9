/**
 * What conmon and runtimes leave: exit files, reports, pid files, states, logs, notes. A wrong number would be
 * signalled later.
 */
import type { Digest } from '../../../src/base/ids.ts';
import { monitorLimits } from '../../../src/oci/runtime/bounds.ts';
import { LineCutter } from '../../../src/base/line-cutter.ts';
import { parseExitCode } from '../../../src/oci/runtime/monitor/exit-file.ts';
import { inodeIn, parsePid } from '../../../src/oci/runtime/monitor/monitor-process.ts';
import { parseCreateReport } from '../../../src/oci/runtime/monitor/sync-pipe.ts';
import { parseNote } from '../../../src/oci/runtime/container/record.ts';
import { parseNotedState } from '../../../src/oci/runtime/container/foreign-state.ts';
import { parseFeatures } from '../../../src/oci/runtime/handlers/features.ts';
import { parseHandlerRecord } from '../../../src/oci/runtime/container/handler-records.ts';
import { lastError, parseState } from '../../../src/oci/runtime/container/runc.ts';
import { parseShimRecord } from '../../../src/oci/runtime/shim/record.ts';
import { parseLayerRecord } from '../../../src/oci/images/store/records/layer-record.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const ID = 'a'.repeat(64);
const DIFF_ID = `sha256:${'b'.repeat(64)}` as Digest;
const MOST_PID = 2 ** 22;

function pid(value: number | undefined, most = Number.MAX_SAFE_INTEGER): boolean {
  if (value !== undefined && (!Number.isSafeInteger(value) || value <= 1 || value > most))
    violated(`a pid ${value}`);
  return value !== undefined;
}

const reports: readonly Kind[] = [
  {
    name: 'exit',
    seeds: ['0', '255', '137\n', ' 7 '],
    run: (input) => {
      const code = parseExitCode(input.toString('latin1'));
      if (code !== undefined && (!Number.isInteger(code) || code < 0 || code > 255))
        violated(`an exit code ${code}`);
      return code !== undefined;
    },
  },
  {
    name: 'pid',
    seeds: ['123\n', '4194304'],
    run: (input) => pid(parsePid(input.toString('latin1')), 10 ** 7),
  },
  {
    name: 'report',
    seeds: ['{"pid":77}\n', '{"pid":-1,"message":"runc create failed"}\n{"pid": 5}\n'],
    run: (input) => {
      const [whole = '', pieces] = [Math.max(1, input.length), 1 + (input.length % 5)].map((step) => {
        const cutter = new LineCutter(monitorLimits.reportBytes);
        const lines: string[] = [];
        for (let at = 0; at < input.length; at += step)
          lines.push(...cutter.push(input.subarray(at, at + step)));
        return [...lines, cutter.takeRest(), String(cutter.isCut)].join('\n');
      });
      if (whole !== pieces) violated('in pieces they are other lines');
      const found = whole.split('\n').map(parseCreateReport);
      for (const one of found) if (one.kind === 'value') pid(one.value, MOST_PID);
      return found.some(({ kind }) => kind !== 'invalid');
    },
  },
  {
    name: 'inode',
    seeds: ['pos:\t0\nflags:\t02\nino:\t77\n'],
    run: (input) => inodeIn(input.toString('latin1')) !== '',
  },
];

const states: readonly Kind[] = [
  {
    name: 'state',
    seeds: [`{"id":"${ID}","init_process_pid":77,"init_process_start":5}`],
    run: (input) => pid(parseState('state.json', input.toString('utf8'), ID)?.pid),
  },
  {
    name: 'status',
    seeds: ['{"pid":77,"process-start-time":5}'],
    run: (input) => pid(parseState('status', input.toString('utf8'), ID)?.pid),
  },
  {
    name: 'noted',
    seeds: ['{"pid":77,"startTicks":5,"started":true}'],
    run: (input) => pid(parseNotedState(input.toString('utf8'))?.pid),
  },
  {
    name: 'log',
    seeds: ['{"level":"error","msg":"a\\u0001b"}\n{"level":"info","msg":"x"}\n'],
    run: (input) => {
      const error = lastError(input.toString('utf8'));
      // eslint-disable-next-line no-control-regex -- control characters are what is searched for
      if (/[\u0000-\u001f]/u.test(error)) violated('control characters in a message');
      return error !== '';
    },
  },
  {
    name: 'features',
    seeds: ['{"mountOptions":["rro"],"linux":{"mountExtensions":{"idmap":{"enabled":true}}}}'],
    run: (input) => parseFeatures(input.toString('utf8')).recursiveReadOnlyMounts,
  },
];

const records: readonly Kind[] = [
  {
    name: 'note',
    seeds: [
      `{"version":1,"sandboxId":"${ID}","handler":"runc","cgroup":"/kubepods/troupe-${ID}","monitorCgroup":"/troupe-${ID}.scope/monitor"}`,
    ],
    run: (input) => {
      const note = parseNote(input.toString('utf8'));
      if (note !== undefined && !note.cgroup.includes('troupe-'))
        violated(`a cgroup that is not ours: ${note.cgroup}`);
      return note !== undefined;
    },
  },
  {
    name: 'layer',
    seeds: [
      `{"version":1,"diffId":"${DIFF_ID}","blobDigest":"${DIFF_ID}","tarBytes":1,"entries":1,"usedBytes":1,"inodes":1,"rootOpaque":false,"xattrsDropped":0,"imageBytes":4096}`,
    ],
    run: (input) => parseLayerRecord(input.toString('utf8'), DIFF_ID) !== undefined,
  },
  {
    name: 'handler',
    seeds: ['{"name":"runc","path":"/usr/bin/runc","root":"/run/runc"}'],
    run: (input) => parseHandlerRecord(input.toString('utf8')) !== undefined,
  },
  {
    name: 'shim',
    seeds: ['{"version":1,"pid":5,"address":"/run/x.sock","api":3}'],
    run: (input) => parseShimRecord(input.toString('utf8')) !== undefined,
  },
];

export const conmonLearner = learnerOf([...reports, ...states, ...records], []);
