// The folders of src as docs/rooms.md has them.
import { textOf } from './sources.ts';

export interface Room {
  readonly does: string;
  /** Folders that it may import, types included; one without a slash stands for a whole room. */
  readonly imports: readonly string[];
}

const LINE = /^\| `(?<folder>[^`]+)` \| (?<does>[^|]+) \| (?<imports>[^|]*) ?\|$/u;

/** Folder → its line of the table. */
export const ROOMS: ReadonlyMap<string, Room> = new Map(
  textOf('docs/rooms.md')
    .split('\n')
    .flatMap((line) => {
      const { folder, does, imports } = LINE.exec(line)?.groups ?? {};
      if (folder === undefined || does === undefined || imports === undefined) return [];
      return [
        [
          folder,
          {
            does,
            imports: imports
              .split(', ')
              .map((one) => one.trim())
              .filter(Boolean),
          },
        ],
      ];
    }),
);
