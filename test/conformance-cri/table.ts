// All groups, in the order of the document.
import type { Group } from './row.ts';
import { containerLife } from './rows/container-life.ts';
import { containerProcess } from './rows/container-process.ts';
import { containerRefusals } from './rows/container-refusals.ts';
import { containerStop } from './rows/container-stop.ts';
import { events } from './rows/events.ts';
import { execSync } from './rows/exec-sync.ts';
import { hostile } from './rows/hostile.ts';
import { ids } from './rows/ids.ts';
import { images } from './rows/images.ts';
import { lists } from './rows/lists.ts';
import { logs } from './rows/logs.ts';
import { mounts } from './rows/mounts.ts';
import { node } from './rows/node.ts';
import { sandboxFields } from './rows/sandbox-fields.ts';
import { sandboxLife } from './rows/sandbox-life.ts';
import { sandboxRefusals } from './rows/sandbox-refusals.ts';
import { statistics } from './rows/stats.ts';
import { updateResources } from './rows/update-resources.ts';

export const table: readonly Group[] = [
  node,
  ids,
  sandboxRefusals,
  sandboxLife,
  sandboxFields,
  containerRefusals,
  containerProcess,
  containerLife,
  containerStop,
  mounts,
  execSync,
  logs,
  lists,
  events,
  statistics,
  updateResources,
  images,
  hostile,
];
