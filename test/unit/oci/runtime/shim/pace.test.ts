// What a guest can make its shim say to the daemon, at any rate: lines of its log and reports of OOM kills.
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
  closeSync,
  constants,
  existsSync,
  statSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseContainerId } from '../../../../../src/base/ids.ts';
import type { ContainerId } from '../../../../../src/base/ids.ts';
import { shimLimits } from '../../../../../src/oci/runtime/bounds.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import { encodeTtrpcFrame, TTRPC_TYPE } from '../../../../../src/ttrpc/frames.ts';
import { Events, ForwardRequestSchema, TaskOOMSchema } from '../../../../../src/gen/shim/events_pb.ts';
import { RequestSchema } from '../../../../../src/gen/ttrpc/ttrpc_pb.ts';
import { createLayout } from '../../../../../src/host/sandbox/layout.ts';
import type { Layout } from '../../../../../src/host/sandbox/layout.ts';
import { processIdentity } from '../../../../../src/host/process/process-identity.ts';
import { encodeMessage } from '../../../../../src/ttrpc/protocol.ts';
import { oomMarker } from '../../../../../src/oci/runtime/container/cgroup.ts';
import { noteOf, writeNote } from '../../../../../src/oci/runtime/container/record.ts';
import { ShimEvents } from '../../../../../src/oci/runtime/shim/events.ts';
import { eventsSocket } from '../../../../../src/oci/runtime/shim/launch.ts';
import { writeShimRecord } from '../../../../../src/oci/runtime/shim/record.ts';
import { followLog, makeLogFifo } from '../../../../../src/oci/runtime/shim/shim-log.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { inputOf, SANDBOX_ID } from '../spec/fixtures.ts';
import { until } from '../../../../support/eventually.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-pace-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const turn = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 1));
describe("a shim's log", () => {
  test('S89: is read at intervals, and a bounded number of lines of each read are kept; the shim goes on after the read', async () => {
    const path = join(directory, 'log');
    makeLogFifo(path);
    const clock = new HandClock();
    const lines: string[] = [];
    const dropped: number[] = [];
    const log = {
      ...silentLog,
      debug: (fields: { readonly line?: string; readonly dropped?: number }) =>
        void (fields.line === undefined ? dropped.push(fields.dropped ?? 0) : lines.push(fields.line)),
    };
    const end = followLog(path, 'sandbox', { log, clock });
    const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    const many = 'a line of the guest\n'.repeat(1000);
    for (let read = 1; read <= 3; read += 1) {
      writeSync(fd, many);
      await until(() => clock.timers.size === 1);
      expect(lines).toHaveLength(shimLimits.logLinesPerRead * read);
      expect(dropped).toHaveLength(read);
      // waits for the clock
      writeSync(fd, 'one more\n');
      for (let count = 0; count < 5; count += 1) await turn();
      expect(lines).toHaveLength(shimLimits.logLinesPerRead * read);
      clock.fire(shimLimits.logReadEveryMs);
      await until(() => lines.at(-1) === 'one more');
      lines.pop();
      clock.fire();
    }
    end();
    expect(clock.timers.size).toBe(0);
    closeSync(fd);
  });
});

/** A container in a pod whose shim is this process. */
async function shimRunsAs(layout: Layout, id: ContainerId, pid: number): Promise<void> {
  mkdirSync(layout.sandboxDir(SANDBOX_ID), { recursive: true });
  await writeNote(
    layout,
    id,
    noteOf({ ...inputOf(), id, sandboxId: SANDBOX_ID, handler: 'kata', pidNamespaceOf: undefined }, 'kata'),
  );
  const shim = processIdentity(pid) ?? expect.unreachable();
  await writeShimRecord(layout, SANDBOX_ID, {
    version: 1,
    handler: 'kata',
    path: '/run/s',
    api: 2,
    shim,
    task: undefined,
  });
}

describe('events of a shim', () => {
  test("S86: an OOM kill that a shim reports for another pod's container is not recorded", async () => {
    const layout = createLayout({ root: join(directory, 'root'), state: join(directory, 'state') });
    const id = parseContainerId('a'.repeat(64)) ?? expect.unreachable();
    mkdirSync(layout.containerDir(id), { recursive: true });
    await shimRunsAs(layout, id, process.ppid);
    const events = new ShimEvents({ layout, clock: new HandClock(), log: silentLog });
    await events.open();
    const event = {
      typeUrl: 'types.containerd.io/containerd.events.TaskOOM',
      value: encodeMessage(TaskOOMSchema, { containerId: id }),
    };
    const payload = encodeMessage(RequestSchema, {
      service: Events.typeName,
      method: Events.method.forward.name,
      payload: encodeMessage(ForwardRequestSchema, { envelope: { event } }),
    });
    const socket = createConnection(eventsSocket(layout));
    let isAnswered = false;
    socket.once('data', () => (isAnswered = true));
    socket.write(encodeTtrpcFrame({ streamId: 1, type: TTRPC_TYPE.request, flags: 0, payload }));
    await until(() => isAnswered);
    expect(existsSync(oomMarker(layout, id))).toBe(false);
    socket.destroy();
    events.close();
  });

  test('S89: an OOM kill is recorded once for a container, and its connection is read at a bounded rate', async () => {
    const layout = createLayout({ root: join(directory, 'root'), state: join(directory, 'state') });
    const id = parseContainerId('a'.repeat(64));
    if (id === undefined) throw new Error('no id');
    mkdirSync(layout.containerDir(id), { recursive: true });
    await shimRunsAs(layout, id, process.pid);
    const clock = new HandClock();
    const reported: unknown[] = [];
    const events = new ShimEvents({
      layout,
      clock,
      log: { ...silentLog, info: (fields: unknown) => void reported.push(fields) },
    });
    await events.open();
    const event = {
      typeUrl: 'types.containerd.io/containerd.events.TaskOOM',
      value: encodeMessage(TaskOOMSchema, { containerId: id }),
    };
    const payload = encodeMessage(RequestSchema, {
      service: Events.typeName,
      method: Events.method.forward.name,
      payload: encodeMessage(ForwardRequestSchema, { envelope: { event } }),
    });
    const frame = (streamId: number): Uint8Array =>
      encodeTtrpcFrame({ streamId, type: TTRPC_TYPE.request, flags: 0, payload });
    const socket = createConnection(eventsSocket(layout));
    let answered = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => (answered = Buffer.concat([answered, bytes])));
    // all of one size: a head of ten bytes, which begins with the length of the rest
    const answers = (): number =>
      answered.length < 10 ? 0 : answered.length / (10 + answered.readUInt32BE(0));
    let sent = 0;
    const send = (count: number): void => {
      for (let each = 0; each < count; each += 1) socket.write(frame((sent += 1) * 2 - 1));
    };
    send(shimLimits.events.times + 1);
    await until(() => clock.timers.size > 0 && existsSync(oomMarker(layout, id)) && reported.length > 0);
    const { mtimeNs } = statSync(oomMarker(layout, id), { bigint: true });
    expect(reported).toHaveLength(1);
    const before = shimLimits.events.times + 1;
    await until(() => answers() === before);
    // what comes now is left where it is
    send(10);
    for (let count = 0; count < 10; count += 1) await turn();
    expect(answers()).toBe(before);
    clock.nowMs += shimLimits.events.everyMs;
    clock.fire(shimLimits.events.everyMs);
    await until(() => answers() > before);
    expect(statSync(oomMarker(layout, id), { bigint: true }).mtimeNs).toBe(mtimeNs);
    expect(reported).toHaveLength(1);
    socket.destroy();
    events.close();
  });
});
