/**
 * Waiting for descriptors that Node has no handle for (pidfds, inotify, SEQPACKET sockets), in libuv's own epoll:
 * no thread and no call in the pool, however many there are.
 */
import { node as koffiNode } from 'koffi';

export interface Poll {
  /** Stops; `onReadable` is not called any more. The descriptor stays the caller's, to be closed after this. */
  close(): void;
}

/**
 * Calls `onReadable` each time the descriptor has something to read, until it is closed; what is left unread is
 * announced again. The descriptor becomes non-blocking. The process stays alive for it only with `keepsAlive`.
 */
export function pollReadable(fd: number, onReadable: () => void, options: { keepsAlive?: boolean } = {}): Poll {
  let isOpen = true;
  const announce = (): void => {
    // koffi calls from outside of Node's callbacks, where no microtask runs afterwards: take a turn of the loop for it,
    // and no further event meanwhile
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

/** koffi ends a poll when its handle is garbage-collected, and nothing else of ours refers to it. */
const held = new Set<object>();
