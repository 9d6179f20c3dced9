/** The faults that the tests of monitor and runtime inject. */
import { injects } from '../../support/faults/injects.ts';

export const faults = {
  lostMonitor: injects('F38', 'SIGKILL of the monitor of a running container'),
  badReport: injects('F39', 'a monitor that reports nothing, garbage, or half a line'),
  hangingCreate: injects('F33', 'a runtime that hangs in create'),
  hangingCall: injects('F34', 'a runtime that hangs in start or delete'),
  failingRuntime: injects('F35', 'a runtime that fails with JSON, text, nothing, or 10 MiB'),
  wrongState: injects('F36', 'a state file of the runtime cut short, or with another pid or id'),
  deadInit: injects('F37', 'init killed between create and start'),
  badExit: injects('F40', 'an exit file that is late, or not a number'),
  earlyExit: injects('F42', 'a container ends as soon as it is started'),
  lostEvents: injects('F41', 'the queue of inotify overflows, or its directory is replaced'),
} as const;
