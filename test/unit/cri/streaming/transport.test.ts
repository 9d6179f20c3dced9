/** What is below SPDY and WebSocket: when a client is not read, and how its connection is left. */
import { describe, expect, it } from 'vitest';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { portLimits } from '../../../../src/ports/bounds.ts';
import { Intake, Outbox, closeGently, movedBytes } from '../../../../src/cri/streaming/transport.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { Wire } from './support.ts';
import { untilTrue } from '../../../support/turns.ts';

describe('a client whose bytes wait', () => {
  it('is probed only while it is not read (S27)', () => {
    const [wire, clock] = [new Wire(), new HandClock()];
    let probes = 0;
    const intake = new Intake(wire, clock, () => (probes += 1));
    intake.came(streamLimits.inboundBytes);
    expect(clock.timers.size).toBe(0);
    intake.came(1);
    expect(wire.isPaused()).toBe(true);
    clock.fire(streamLimits.probeMs);
    clock.fire(streamLimits.probeMs);
    expect(probes).toBe(2);
    intake.used(streamLimits.inboundBytes);
    expect([wire.isPaused(), clock.timers.size]).toEqual([false, 0]);
  });

  it('counts as idle, since probes are no activity of its session', () => {
    const clock = new HandClock();
    const wire = Object.assign(new Wire(), { bytesRead: 7, bytesWritten: 5 });
    const intake = new Intake(wire, clock, () => (wire.bytesWritten += 2));
    intake.came(2 * streamLimits.inboundBytes);
    clock.fire(streamLimits.probeMs);
    clock.fire(streamLimits.probeMs);
    expect([wire.bytesWritten, movedBytes(wire)]).toEqual([9, 12]);
    wire.bytesWritten += 3;
    expect(movedBytes(wire)).toBe(15);
  });

  it('is not probed once its connection is closed', async () => {
    const [wire, clock] = [new Wire(), new HandClock()];
    const intake = new Intake(wire, clock, () => undefined);
    intake.came(2 * streamLimits.inboundBytes);
    const closed = new Promise((resolve) => void wire.once('close', resolve));
    wire.destroy();
    await closed;
    expect(clock.timers.size).toBe(0);
  });
});

describe('small frames for a client', () => {
  it('wait up to a bound: a client that pings and reads nothing is cut (S68)', async () => {
    const wire = new Wire();
    const outbox = new Outbox(wire);
    wire.isHolding = true;
    const frame = Buffer.alloc(1024);
    for (let bytes = 0; bytes < streamLimits.unsentBytes; bytes += frame.length)
      expect(outbox.send(frame)).toBe(true);
    expect(outbox.send(frame)).toBe(false);
    await untilTrue(() => wire.closed);
  });

  it('no longer count once sent; large ones never count', async () => {
    const wire = new Wire();
    const outbox = new Outbox(wire);
    const half = Buffer.alloc(streamLimits.unsentBytes / 2);
    for (let count = 0; count < 5; count += 1) {
      expect(outbox.send(half.subarray(0, 8), half)).toBe(true);
      // the event comes in a later turn
      let hasTurned = false;
      setImmediate(() => (hasTurned = true));
      await untilTrue(() => hasTurned && wire.writableLength === 0);
    }
    wire.isHolding = true;
    void outbox.write(half, half, half).catch(() => undefined);
    expect(outbox.send(half)).toBe(true);
    expect(wire.destroyed).toBe(false);
  });
});

describe('leaving a client', () => {
  const leave = (isPatient: boolean) => {
    const [wire, clock] = [new Wire(), new HandClock()];
    wire.on('data', () => undefined);
    wire.isHolding = true;
    wire.write('the end of a large output');
    let isOver = false;
    void closeGently(wire, clock, isPatient).then(() => (isOver = true));
    return { wire, clock, isOver: () => isOver };
  };
  const lingers = (clock: HandClock): boolean =>
    [...clock.timers.values()].some(({ ms }) => ms === streamLimits.lingerMs);

  it('unread output is kept as long as a session may idle', async () => {
    const { wire, clock, isOver } = leave(true);
    for (const ms of [streamLimits.lingerMs, portLimits.streamDrainMs]) clock.fire(ms);
    expect(wire.destroyed).toBe(false);
    clock.fire(streamLimits.idleMs);
    await untilTrue(isOver);
    expect(wire.destroyed).toBe(true);
  });

  it('input is read while it sends, since unread bytes would reset its connection', async () => {
    const { wire, clock, isOver } = leave(true);
    wire.release();
    await untilTrue(() => lingers(clock));
    const [first] = [...clock.timers.keys()];
    wire.bring(Buffer.from('ping'));
    await untilTrue(() => first !== undefined && !clock.timers.has(first));
    expect(lingers(clock)).toBe(true);
    clock.nowMs = streamLimits.lingerMostMs;
    const [second] = [...clock.timers.keys()];
    let cameMore = false;
    wire.once('data', () => (cameMore = true));
    wire.bring(Buffer.from('ping'));
    await untilTrue(() => cameMore);
    expect(second !== undefined && clock.timers.has(second)).toBe(true);
    clock.fire(streamLimits.lingerMs);
    await untilTrue(isOver);
  });

  it('a client whose session failed gets little time, whatever it sends', async () => {
    const unread = leave(false);
    unread.clock.fire(portLimits.streamDrainMs);
    await untilTrue(unread.isOver);
    const { wire, clock, isOver } = leave(false);
    wire.release();
    await untilTrue(() => lingers(clock));
    const [first] = [...clock.timers.keys()];
    let cameMore = false;
    wire.once('data', () => (cameMore = true));
    wire.bring(Buffer.from('more'));
    await untilTrue(() => cameMore);
    expect(first !== undefined && clock.timers.has(first)).toBe(true);
    clock.fire(streamLimits.lingerMs);
    await untilTrue(isOver);
  });
});
