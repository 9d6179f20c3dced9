/**
 * Waits for descriptors for which Node has no handle (pidfds, inotify, SEQPACKET sockets), in libuv's own
 * epoll: no thread and no call in the pool, however many there are.
 */
import { node as koffiNode } from 'koffi';

export interface Poll {
  /** Stops; `onReadable` is not called any more. The caller keeps the descriptor and closes it after this. */
  close(): void;
}

/**
 * Calls `onReadable` whenever the descriptor is readable, until closed; unread data triggers it again. Makes
 * the descriptor non-blocking. Keeps the process alive only with `keepsAlive`.
 */
export function pollReadable(
  fd: number,
  onReadable: () => void,
  options: { keepsAlive?: boolean } = {},
): Poll {
  let isOpen = true;
  const announce = (): void => {
    // koffi calls back outside of Node's callbacks, where no microtask runs afterwards: so wait one turn of
    // the event loop, and take no further event meanwhile
    handle.stop();
    setImmediate(() => {
      if (!isOpen) return;
      onReadable();
      resume();
    });
  };
  const resume = (): void => {
    if (isOpen) handle.start({ readable: true }, announce);
  };
  const handle = koffiNode.poll(fd, { readable: true }, announce);
  if (options.keepsAlive !== true) handle.unref();
  held.add(handle);
  return {
    close(): void {
      if (!isOpen) return;
      isOpen = false;
      held.delete(handle);
      handle.close();
    },
  };
}

export interface EdgePoll {
  /** Calls `onReady` once when the descriptor is readable; a second call replaces the first. */
  onceReadable(onReady: () => void): void;
  /** As `onceReadable`, for writing. */
  onceWritable(onReady: () => void): void;
  /** Stops; nothing is called any more. The caller keeps the descriptor. */
  close(): void;
}

/**
 * Waits for either direction of one descriptor, which becomes non-blocking; watches nothing until a method is
 * called.
 */
export function pollBoth(fd: number): EdgePoll {
  let isOpen = true;
  let onReadable: (() => void) | undefined;
  let onWritable: (() => void) | undefined;
  const arm = (): void => {
    if (!isOpen) return;
    if (onReadable === undefined && onWritable === undefined) handle.stop();
    else handle.start({ readable: onReadable !== undefined, writable: onWritable !== undefined }, announce);
  };
  const announce = (events: {
    readonly readable: boolean;
    readonly writable: boolean;
    readonly disconnect: boolean;
  }): void => {
    // one turn of the event loop, as in pollReadable
    handle.stop();
    setImmediate(() => {
      if (!isOpen) return;
      // errors and hang-ups arrive as neither flag: a read or write then finds out which it was
      const isEnd = events.disconnect || (!events.readable && !events.writable);
      const ready = [
        events.readable || isEnd ? onReadable : undefined,
        events.writable || isEnd ? onWritable : undefined,
      ];
      if (ready[0] !== undefined) onReadable = undefined;
      if (ready[1] !== undefined) onWritable = undefined;
      for (const call of ready) call?.();
      arm();
    });
  };
  const handle = koffiNode.poll(fd, { readable: true }, announce);
  handle.stop();
  handle.unref();
  held.add(handle);
  return {
    onceReadable(onReady): void {
      onReadable = onReady;
      arm();
    },
    onceWritable(onReady): void {
      onWritable = onReady;
      arm();
    },
    close(): void {
      if (!isOpen) return;
      isOpen = false;
      held.delete(handle);
      handle.close();
    },
  };
}

/** koffi ends a poll when its handle is garbage-collected, so the handles are referenced here. */
const held = new Set<object>();
