/** The machine that the suite of the checkpoints' port runs on, and what its cases share. */
import type { CheckpointedContainer, CheckpointPort } from '../../src/ports/checkpoint.ts';
import type { ExitFact } from '../../src/ports/journal.ts';
import type { RuntimePort } from '../../src/ports/runtime.ts';
import type { RestoreSource } from '../../src/ports/specs.ts';
import type { ContainerId } from '../../src/base/ids.ts';
import { fx } from './runtime-stage.ts';
import type { Running, ContainerRequest } from './runtime-stage.ts';

export interface CheckpointStage {
  /** The drivers of now. */
  readonly port: CheckpointPort;
  readonly runtime: RuntimePort;
  /** The daemon dies and another begins on the same machine, and undoes what was cut off. */
  restart(): Promise<void>;
  /** A container that runs until it is killed. */
  running(): Promise<Running>;
  /** One to be, whose root file system is there. */
  container(): ContainerRequest;
  /** As a checkpoint of it is asked for. */
  described(one: ContainerRequest, archive: string): CheckpointedContainer;
  /** An empty directory for archives. */
  newDirectory(): string;
  /** Names in it. */
  namesIn(directory: string): readonly string[];
  /** Something that is no archive lies there. */
  plant(path: string): void;
  isStill(one: ContainerRequest): boolean;
  /** Whether it has images to be restored from. */
  hasImages(one: ContainerRequest): boolean;
  /** Directories of checkpoints under way. */
  works(): number;
  /** The exits that the current driver, and those before it, reported for a container. */
  reported(id: ContainerId): readonly ExitFact[];
  /** Settles when it is so; the world moves meanwhile. */
  until(poll: () => boolean): Promise<void>;
  /** CRIU hangs, or fails, until `heal`. */
  spoil(how: 'hangs' | 'fails'): void;
  heal(): void;
  /** Runs `act` when a call hangs. */
  whenHanging(act: () => void): void;
  /** The wall clock. */
  nowNs(): bigint;
  /** Destroys what is there; throws when anything is left. */
  close(): Promise<void>;
}

export const attempted = 'the suite';

/** An archive of a container that runs. */
export async function archived(
  stage: CheckpointStage,
): Promise<{ readonly one: Running; readonly directory: string; readonly archive: string }> {
  const one = await stage.running();
  const directory = stage.newDirectory();
  const archive = `${directory}/c.tar`;
  await stage.port.checkpoint({ attempted, containers: [stage.described(one, archive)] }, fx);
  return { one, directory, archive };
}

/** A container that was made to be restored from the archive. */
export async function imported(stage: CheckpointStage, archive: string): Promise<ContainerRequest> {
  const from: RestoreSource['from'] = { archive };
  const { digest } = await stage.port.describe({ attempted, handler: '', from }, fx);
  const request = stage.container();
  const restore = { from, digest };
  const made = { ...request, spec: { ...request.spec, restore } };
  await stage.port.import({ ...made, restore }, fx);
  await stage.runtime.writeBundle(made, fx);
  return made;
}
