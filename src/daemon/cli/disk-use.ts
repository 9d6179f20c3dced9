/** The disks of `troupe status`: how full they are, and what of it is in images and containers. */
import { pause } from '../../host/clock/wait.ts';
import { filesystemSpace } from '../../host/files/directory-lock.ts';
import { imageClient } from '../../introspection/image-client.ts';
import type { FilesystemUsage } from '../../gen/runtime/v1/api_pb.ts';
import { cliLimits } from '../bounds.ts';
import type { Config } from '../config/config-schema.ts';
import type { Command } from './context.ts';

export interface DiskUse {
  readonly path: string;
  readonly totalBytes: number;
  /** Of anyone: what is neither free nor reserved. */
  readonly usedBytes: number;
  /** For processes without root's reserve. */
  readonly freeBytes: number;
}

export interface OwnUse {
  readonly imageBytes: number;
  readonly containerBytes: number;
}

/** The disks of root and image store; one that does not answer in time, or is not there, is left out. */
export async function disksOf(
  { clock }: Pick<Command, 'clock'>,
  { root, storage }: Pick<Config, 'root' | 'storage'>,
): Promise<readonly DiskUse[]> {
  const paths = [root, ...(storage.image_store === '' ? [] : [storage.image_store])];
  const disks = await Promise.all(
    paths.map((path) =>
      Promise.race([
        diskOf(path).catch(() => undefined),
        pause(clock, cliLimits.diskMs).then(() => undefined),
      ]),
    ),
  );
  return disks.filter((disk) => disk !== undefined);
}

async function diskOf(path: string): Promise<DiskUse> {
  const { capacityBytes, usedBytes, availableBytes } = await filesystemSpace(path);
  return {
    path,
    totalBytes: Number(capacityBytes),
    usedBytes: Number(usedBytes),
    freeBytes: Number(availableBytes),
  };
}

/** What the daemon uses itself, by ImageFsInfo; undefined while it does not answer. */
export async function ownUseOf(socket: string): Promise<OwnUse | undefined> {
  const answer = await imageClient(socket)
    .imageFsInfo({}, { timeoutMs: cliLimits.diskMs })
    .catch(() => undefined);
  if (answer === undefined) return undefined;
  const sum = (systems: readonly FilesystemUsage[]): number =>
    systems.reduce((all, { usedBytes }) => all + Number(usedBytes?.value ?? 0n), 0);
  return { imageBytes: sum(answer.imageFilesystems), containerBytes: sum(answer.containerFilesystems) };
}
