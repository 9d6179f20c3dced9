// Calls timed by a client in Go, as the kubelet is one: a client in Node takes longer for a short answer than its
// server.
import { spawnSync } from 'node:child_process';
import { criTimer } from '../support/tools/cri-timer.ts';

/** What it calls again and again: ListContainers, the same by id, ListPodSandbox, ContainerStatus. */
export type GoCall = 'list' | 'one' | 'sandboxes' | 'status';

export interface GoTimes {
  /** ms of each call. */
  readonly took: readonly number[];
  /** Containers that the last answer had. */
  readonly containers: number;
}

/** `calls` calls, one after the other on one connection, after some that are not counted. */
export async function timedInGo(call: GoCall, socket: string, calls: number): Promise<GoTimes> {
  const { status, stdout, stderr } = spawnSync(await criTimer(), [call, socket, String(calls)], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`cri-timer ${call}: ${stderr}`);
  const { nanoseconds, containers } = JSON.parse(stdout) as { nanoseconds: number[]; containers: number };
  return { took: nanoseconds.map((ns) => ns / 1e6), containers };
}
