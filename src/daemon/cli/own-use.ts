/** What of the disks is in images and containers, for `troupe status`. */
import { imageClient } from '../../introspection/image-client.ts';
import type { FilesystemUsage } from '../../gen/runtime/v1/api_pb.ts';
import { cliLimits } from '../bounds.ts';

export interface OwnUse {
  readonly imageBytes: number;
  readonly containerBytes: number;
}

/** By ImageFsInfo of the daemon at this socket; undefined while it does not answer. */
export async function ownUseOf(socket: string): Promise<OwnUse | undefined> {
  const answer = await imageClient(socket)
    .imageFsInfo({}, { timeoutMs: cliLimits.diskMs })
    .catch(() => undefined);
  if (answer === undefined) return undefined;
  const sum = (systems: readonly FilesystemUsage[]): number =>
    systems.reduce((all, { usedBytes }) => all + Number(usedBytes?.value ?? 0n), 0);
  return { imageBytes: sum(answer.imageFilesystems), containerBytes: sum(answer.containerFilesystems) };
}
