/** Nothing inside of a run may use real time or real chance: what does is a failure of the run. */

const NAMES = ['setTimeout', 'setInterval', 'setImmediate'] as const;
/** Test runners use timers too, on the same thread: only our code and the actor library are held to it. */
const OURS = /\/(?:src|node_modules\/xstate)\//u;
/** xstate notes when a delay was scheduled and gives it a random name: nothing follows from either. */
const OURS_ALONE = /\/src\//u;

/** Sets the traps; the returned function takes them away and gives what fell in. */
export function setTraps(): () => readonly string[] {
  const caught: string[] = [];
  const undo: (() => void)[] = [];
  const trap = (owner: object, name: string, whose = OURS_ALONE): void => {
    const real: unknown = Reflect.get(owner, name);
    if (typeof real !== 'function') return;
    const trapped = (...args: readonly unknown[]): unknown => {
      const caller = callerFile();
      if (whose.test(caller)) caught.push(`${name} was called in ${caller}`);
      return Reflect.apply(real, owner, args);
    };
    Reflect.set(owner, name, trapped);
    undo.push(() => Reflect.set(owner, name, real));
  };
  for (const name of NAMES) trap(globalThis, name, OURS);
  trap(Date, 'now');
  trap(Math, 'random');
  trap(AbortSignal, 'timeout');
  trap(crypto, 'randomUUID');
  return () => {
    for (const act of undo) act();
    return caught;
  };
}

/**
 * The file of the function that called the trapped one. Without the text of the stack, which test runners map back at
 * length.
 */
function callerFile(): string {
  const { prepareStackTrace, stackTraceLimit } = Error;
  Error.stackTraceLimit = 3;
  Error.prepareStackTrace = (_error, sites) => sites[2]?.getFileName() ?? '';
  const file = String(new Error('trap').stack);
  Error.prepareStackTrace = prepareStackTrace;
  Error.stackTraceLimit = stackTraceLimit;
  return file;
}
