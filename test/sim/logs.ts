/**
 * Logs of containers as their monitors write them. The files are the kubelet's: they outlive container, daemon and
 * monitor, and nobody but the kubelet renames them. Lines are numbers, counted by the program from 1.
 */

export interface ContainerLog {
  /** Lines that the program wrote. */
  said: number;
  /** Written by the program, not yet read by the monitor. */
  pipe: number[];
  readonly rotated: number[][];
  /** The file at the path. */
  current: number[] | undefined;
  /** The file that the monitor has open, wherever it lies by now. */
  held: number[];
  /** A monitor died with lines that it had not read, or the machine lost its power. */
  excused: boolean;
}

/** Few, so that both happen: a reopen of a log that was renamed, and of one that was not. */
const LONG_LINES = 2;

export class Logs {
  /** Ids whose log changed since the last read. */
  readonly changed = new Set<string>();
  readonly #logs = new Map<string, ContainerLog>();

  of(id: string): ContainerLog | undefined {
    return this.#logs.get(id);
  }

  /**
   * A monitor begins: it appends to what is there. So does its program: that of a second attempt to restore is the one
   * of the checkpoint again, and knows nothing of lines that the first one wrote and nobody read (seed 318879).
   */
  open(id: string): void {
    const log = this.#logs.get(id) ?? {
      said: 0,
      pipe: [],
      rotated: [],
      current: undefined,
      held: [],
      excused: false,
    };
    log.current ??= [];
    log.held = log.current;
    log.said = log.rotated.flat().length + log.held.length;
    log.pipe = [];
    this.#logs.set(id, log);
  }

  /** The program writes lines. */
  say(id: string, lines: number): void {
    const log = this.#logs.get(id);
    if (log === undefined) return;
    for (let n = 0; n < lines; n += 1) log.pipe.push((log.said += 1));
  }

  /** The monitor writes what it reads. */
  drain(id: string): void {
    const log = this.#logs.get(id);
    if (log === undefined) return;
    log.held.push(...log.pipe.splice(0));
    this.changed.add(id);
  }

  /** The monitor ends: what it had not read is gone. */
  losePipe(id: string): void {
    const log = this.#logs.get(id);
    if (log === undefined || log.pipe.length === 0) return;
    log.pipe = [];
    log.excused = true;
  }

  /** The kubelet renames the file; the monitor goes on with it. */
  rotate(id: string): void {
    const log = this.#logs.get(id);
    if (log?.current === undefined) return;
    log.rotated.push(log.current);
    log.current = undefined;
  }

  /** The kubelet renames what has grown long. */
  rotateLong(id: string): void {
    if ((this.#logs.get(id)?.current?.length ?? 0) >= LONG_LINES) this.rotate(id);
  }

  /** Whether the monitor writes the file at the path. */
  isCurrent(id: string): boolean {
    const log = this.#logs.get(id);
    return log !== undefined && log.held === log.current;
  }

  /** As conmon does it: a new file is renamed to the path; what was there is gone. */
  reopen(id: string): void {
    const log = this.#logs.get(id);
    if (log === undefined) return;
    log.held = [];
    log.current = log.held;
    this.changed.add(id);
  }

  /** Without power the file that was written last may lack its end. */
  losePower(kept: (lines: number) => number): void {
    for (const [id, log] of this.#logs) {
      log.held.length = kept(log.held.length);
      log.pipe = [];
      log.excused = true;
      this.changed.add(id);
    }
  }
}
